/** Configuration that is code: Python, nodemailer, and shell commands for Postfix and curl. */
import { lines } from '../../base/lines.ts';
import { shellWord } from '../../base/shell.ts';
import { type ClientConfig, type ClientSettings, type Door, inUrl } from './settings.ts';

const ENVIRONMENT = 'the password comes from the environment, so that it is in no file: POSTERN_APP_PASSWORD';

/** JSON is also how Python and JavaScript write these strings. */
const quoted = (text: string): string => JSON.stringify(text);

export function forPython({ address, imap, smtp, ca }: ClientSettings): ClientConfig {
  const context = `context = ssl.create_default_context(${ca === undefined ? '' : `cafile=${quoted(ca)}`})`;
  const encrypted = [imap, smtp].some((door) => door !== undefined && door.security !== 'plain');
  return {
    file: 'mail.py',
    lines: [
      ...(imap ? ['import imaplib'] : []),
      'import os',
      ...(smtp ? ['import smtplib'] : []),
      ...(encrypted ? ['import ssl'] : []),
      ...(smtp ? ['import sys', 'from email.message import EmailMessage'] : []),
      '',
      `USER = ${quoted(address)}`,
      'PASSWORD = os.environ["POSTERN_APP_PASSWORD"]',
      ...(encrypted ? [context] : []),
      ...(imap ? ['', ...pythonImap(imap)] : []),
      ...(smtp ? ['', ...pythonSmtp(smtp)] : []),
    ],
    notes: [ENVIRONMENT, 'python3 mail.py lists INBOX; python3 mail.py RECIPIENT sends a test message as well'],
  };
}

function pythonImap({ host, port, security }: Door): readonly string[] {
  const open = {
    tls: `imaplib.IMAP4_SSL(${quoted(host)}, ${port}, ssl_context=context)`,
    starttls: `imaplib.IMAP4(${quoted(host)}, ${port})`,
    plain: `imaplib.IMAP4(${quoted(host)}, ${port})`,
  }[security];
  return [
    `with ${open} as box:`,
    ...(security === 'starttls' ? ['    box.starttls(ssl_context=context)'] : []),
    '    box.login(USER, PASSWORD)',
    '    box.select("INBOX", readonly=True)',
    '    for number in box.search(None, "ALL")[1][0].split():',
    '        header = box.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1]',
    '        print(header.decode("utf-8", "replace").strip())',
  ];
}

function pythonSmtp({ host, port, security }: Door): readonly string[] {
  const open = {
    tls: `smtplib.SMTP_SSL(${quoted(host)}, ${port}, context=context)`,
    starttls: `smtplib.SMTP(${quoted(host)}, ${port})`,
    plain: `smtplib.SMTP(${quoted(host)}, ${port})`,
  }[security];
  return [
    'if len(sys.argv) > 1:',
    '    message = EmailMessage()',
    '    message["From"], message["To"], message["Subject"] = USER, sys.argv[1], "a test from Python"',
    '    message.set_content("It works.\\n")',
    `    with ${open} as server:`,
    ...(security === 'starttls' ? ['        server.starttls(context=context)'] : []),
    '        server.login(USER, PASSWORD)',
    '        server.send_message(message)',
  ];
}

/** `imap_open` without `/ssl` or `/notls` begins TLS 1.0 wherever STARTTLS is offered (c-client, tcp `net_open`), which nobody takes any more. */
export function forPhp({ address, imap, pop3, ca }: ClientSettings): ClientConfig {
  const door = imap ?? pop3;
  const isPlain = door?.security === 'plain';
  const text = (value: string): string => `'${value.replace(/['\\]/g, String.raw`\$&`)}'`;
  const server = `{${door === undefined ? '' : inUrl(door)}/${imap ? 'imap' : 'pop3'}/${isPlain ? 'notls' : 'ssl'}}INBOX`;
  return {
    file: 'mail.php',
    lines: [
      '<?php',
      ...(ca === undefined || isPlain ? [] : [`putenv(${text(`SSL_CERT_FILE=${ca}`)});`]),
      `$mail = imap_open(${text(server)}, ${text(address)}, getenv('POSTERN_APP_PASSWORD'), OP_READONLY);`,
      'if ($mail === false) {',
      '    fwrite(STDERR, imap_last_error() . "\\n");',
      '    exit(1);',
      '}',
      'for ($number = 1; $number <= imap_num_msg($mail); $number++) {',
      '    echo imap_headerinfo($mail, $number)->subject ?? \'\', "\\n";',
      '}',
      'imap_close($mail);',
    ],
    notes: lines(
      ENVIRONMENT,
      'php mail.php lists INBOX. Without /ssl or /notls imap_open begins TLS 1.0 and fails',
      ca !== undefined &&
        !isPlain &&
        'putenv makes the CA the only one that this process trusts; a program that also connects elsewhere needs it among the system’s: /usr/local/share/ca-certificates and update-ca-certificates',
      'to send by mail(): sendmail_path = "postern sendmail -t -i" in php.ini',
    ),
  };
}

export function forNodemailer({ address, smtp, ca }: ClientSettings): ClientConfig {
  const security = smtp?.security ?? 'tls';
  return {
    file: 'mail.mjs',
    lines: [
      "import { createTransport } from 'nodemailer';",
      ...(ca === undefined || security === 'plain' ? [] : ["import { readFileSync } from 'node:fs';"]),
      '',
      'const transport = createTransport({',
      `  host: ${quoted(smtp?.host ?? '')},`,
      `  port: ${smtp?.port ?? ''},`,
      `  secure: ${security === 'tls'},`,
      ...(security === 'starttls' ? ['  requireTLS: true,'] : []),
      ...(security === 'plain' ? ['  ignoreTLS: true,'] : []),
      ...(ca === undefined || security === 'plain' ? [] : [`  tls: { ca: readFileSync(${quoted(ca)}) },`]),
      `  auth: { user: ${quoted(address)}, pass: process.env.POSTERN_APP_PASSWORD },`,
      '});',
      'await transport.verify();',
      "console.log('signed in');",
      'const [to] = process.argv.slice(2);',
      'if (to !== undefined) {',
      `  await transport.sendMail({ from: ${quoted(address)}, to, subject: 'a test from nodemailer', text: 'It works.' });`,
      '}',
      'transport.close();',
    ],
    notes: [ENVIRONMENT, 'node mail.mjs signs in; node mail.mjs RECIPIENT sends a test message as well'],
  };
}

/** postconf(1) edits main.cf, which everybody may read: the password goes into a file of its own. */
export function forPostfix({ address, password, smtp, ca }: ClientSettings): ClientConfig {
  const relay = `[${smtp?.host ?? ''}]:${smtp?.port ?? ''}`;
  const settings = {
    relayhost: relay,
    // A machine without DNS would put off all mail to localhost, also with `dns, native`.
    smtp_host_lookup: 'native',
    smtp_tls_wrappermode: smtp?.security === 'tls' ? 'yes' : 'no',
    // Encrypted, and the certificate fits the name in relayhost (postconf(5)).
    smtp_tls_security_level: 'secure',
    smtp_tls_secure_cert_match: 'nexthop',
    ...(ca === undefined ? { smtp_tls_CApath: '/etc/ssl/certs' } : { smtp_tls_CAfile: ca }),
    smtp_sasl_auth_enable: 'yes',
    smtp_sasl_security_options: 'noanonymous',
    smtp_sasl_password_maps: 'texthash:/etc/postfix/postern_password',
    sender_canonical_classes: 'envelope_sender, header_sender',
    // The empty sender must stay empty, or a refused bounce is bounced for ever (RFC 5321 §4.5.5). `static:` matches it, and so does
    // `/./`: Postfix asks for it as a quoted string (`""`).
    sender_canonical_maps: 'regexp:/etc/postfix/postern_sender',
  };
  return {
    file: undefined,
    lines: [
      '# as root; the password goes into a file that only root reads',
      `(umask 077; printf '%s\\n' ${shellWord(`${relay} ${address}:${password}`)} > /etc/postfix/postern_password)`,
      `printf '%s\\n' ${shellWord(`/^[^"@<>]/ ${address.replaceAll('$', '$$$$')}`)} > /etc/postfix/postern_sender`,
      ...Object.entries(settings).map(([name, value]) => `postconf -e ${shellWord(`${name} = ${value}`)}`),
      'postfix reload',
    ],
    notes: [
      'every local sender (root, cron) becomes the mailbox, because the provider refuses others; drop sender_canonical_maps if yours may send as them; bounces keep the empty sender they must have',
      'Debian: apt-get install libsasl2-modules, without which Postfix knows no way to sign in',
      'use smtp alone for it: postern password add --protocols smtp',
    ],
  };
}

export function forCurl({ address, imap, pop3, smtp, ca }: ClientSettings): ClientConfig {
  const url = (scheme: string, door: Door): string => `${scheme}${door.security === 'tls' ? 's' : ''}://${inUrl(door)}`;
  const common = (door: Door): string =>
    [
      'curl',
      `--user ${shellWord(address)}:"$POSTERN_APP_PASSWORD"`,
      ...(door.security === 'starttls' ? ['--ssl-reqd'] : []),
      ...(ca === undefined || door.security === 'plain' ? [] : [`--cacert ${shellWord(ca)}`]),
    ].join(' ');
  return {
    file: undefined,
    lines: lines(
      imap && ['# the newest message', `${common(imap)} '${url('imap', imap)}/INBOX;MAILINDEX=*'`],
      pop3 && ['# how many there are', `${common(pop3)} '${url('pop3', pop3)}/'`],
      smtp && [
        '# send a file to somebody, whichever line ends it has',
        `tr -d '\\r' < message.eml | ${common(smtp)} --mail-from ${shellWord(address)} --mail-rcpt "$RECIPIENT" --crlf --upload-file - '${url('smtp', smtp)}'`,
      ],
    ),
    notes: [
      `${ENVIRONMENT}; other users of this machine see a command’s arguments while it runs, so use it for trying only`,
    ],
  };
}
