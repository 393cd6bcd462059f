/** Messages that are hard to pass on unharmed, and the files that are attached to them. */
import { createCipheriv, createHash } from 'node:crypto';

/** A letter whose body has what gateways get wrong: lines of dots, tabs, 8-bit text, a long line, command look-alikes. */
export function letter(subject: string, recipient = 'alice@contoso.test'): Buffer {
  return Buffer.from(
    [
      `From: "Bob" <bob@contoso.test>`,
      `To: ${recipient}`,
      `Subject: ${subject}`,
      `Message-ID: <${subject}.${createHash('sha256').update(subject).digest('hex').slice(0, 12)}@contoso.test>`,
      'Date: Fri, 20 Nov 2026 08:00:00 +0000',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: 8bit',
      '',
      'Grüße aus Köln, 你好, 🙂',
      '.',
      '..',
      '.leading dot',
      'From the start of a line',
      '* BYE a1 OK {12}',
      '\ttab and trailing space ',
      'x'.repeat(900),
      '',
      'end',
      '',
    ].join('\r\n'),
  );
}

/** `octets` of reproducible noise: the key stream of AES in counter mode. */
export function noise(octets: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, 1), Buffer.alloc(16)).update(Buffer.alloc(octets));
}

/** A finished message with one attachment in base64. */
export function messageWith(subject: string, from: string, to: string, name: string, attachment: Buffer): Buffer {
  const base64 = lines(attachment.toString('base64'), 76);
  const head = [
    `From: ${from}`,
    `To: ${to}`,
    `Subject: ${subject}`,
    `Message-ID: <${subject}@contoso.test>`,
    'Date: Fri, 20 Nov 2026 08:00:00 +0000',
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="=_part"',
    '',
    '--=_part',
    'Content-Type: text/plain; charset=utf-8',
    '',
    '.a letter',
    '--=_part',
    'Content-Type: application/octet-stream',
    `Content-Disposition: attachment; filename="${name}"`,
    'Content-Transfer-Encoding: base64',
    '',
  ];
  return Buffer.from([...head, base64, '--=_part--', ''].join('\r\n'), 'latin1');
}

/** SHA-256 of the only attachment of a message, which every program here encodes in base64. */
export function attachmentHash(message: Buffer): string {
  const text = message.toString('latin1');
  const at = text.search(/^Content-Disposition:\s*attachment/im);
  const start = text.indexOf('\r\n\r\n', at);
  const end = text.indexOf('\r\n--', start);
  if (at === -1 || start === -1 || end === -1) throw new Error(`no attachment in the message:\n${text.slice(0, 2000)}`);
  return hash(Buffer.from(text.slice(start, end), 'base64'));
}

export function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function lines(text: string, width: number): string {
  const rows: string[] = [];
  for (let at = 0; at < text.length; at += width) rows.push(text.slice(at, at + width));
  return rows.join('\r\n');
}
