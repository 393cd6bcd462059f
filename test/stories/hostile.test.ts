/** Bad input at the running gateway: each kind gets a protocol's refusal within the limits, and nobody else notices. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Wire } from '../bed/wire.ts';
import { startInstallation } from '../bed/installation.ts';
import { type MailSite, startMailSite } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { residentBytes } from '../bed/postern.ts';

type Protocol = 'imap' | 'pop3' | 'smtp';

const skip = without('dovecot-imapd', 'postfix');
let site: MailSite;
let installation: Awaited<ReturnType<typeof startInstallation>>;
let gateway: (typeof installation)['serving'];
let bystander: Wire;

/** What refuses a command or ends a session, per protocol. */
const REFUSAL: Readonly<Record<Protocol, RegExp>> = {
  imap: /^(?:\* BYE|\S+ (?:BAD|NO)|\* BAD) ?.*\r\n/m,
  pop3: /^-ERR.*\r\n/m,
  smtp: /^[45]\d\d[ -].*\r\n/m,
};
const GREETING: Readonly<Record<Protocol, RegExp>> = {
  imap: /^\* OK .*\r\n/,
  pop3: /^\+OK.*\r\n/,
  smtp: /^220 .*\r\n/,
};
const PROTOCOLS: readonly Protocol[] = ['imap', 'pop3', 'smtp'];

before(async () => {
  if (skip) return;
  site = await startMailSite('jwt');
  installation = await startInstallation(site, { limits: { signInMs: 2500 } });
  gateway = installation.serving;
  bystander = await signedIn();
});
after(async () => {
  bystander?.destroy();
  await installation?.stop();
  await site?.stop();
});

async function greeted(protocol: Protocol): Promise<Wire> {
  const wire = await Wire.open(gateway.door[protocol]);
  await wire.until(GREETING[protocol]);
  return wire;
}

/** A session that is in use while all of this goes on. */
async function signedIn(): Promise<Wire> {
  const wire = await greeted('imap');
  wire.send(`b1 LOGIN ${gateway.door.user} ${gateway.door.password}\r\nb2 SELECT INBOX\r\n`);
  await wire.until(/^b2 OK .*\r\n/m);
  return wire;
}

let turn = 0;
async function bystanderAnswers(): Promise<void> {
  const tag = `n${++turn}`;
  bystander.send(`${tag} NOOP\r\n`);
  await bystander.until(new RegExp(`^${tag} OK .*\\r\\n`, 'm'), 5000);
}

/** Sends something bad, expects a refusal, then that the session ends or goes on properly, and that the bystander is well. */
function refuses(name: string, protocol: Protocol, bytes: string | Buffer, expected: RegExp = REFUSAL[protocol]): void {
  test(`${protocol}: ${name}`, { skip }, async () => {
    const wire = await greeted(protocol);
    try {
      wire.send(bytes);
      await wire.until(expected);
      await bystanderAnswers();
    } finally {
      wire.destroy();
    }
  });
}

const MEGABYTE = 'A'.repeat(2 ** 20);
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');

for (const protocol of PROTOCOLS) {
  refuses('an endless line', protocol, MEGABYTE);
  refuses('NUL and control characters', protocol, '\0\u0001\u0002\u007f\r\n');
  refuses('HTTP', protocol, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  refuses('a TLS handshake on the plain port', protocol, Buffer.from('160301006f0100006b0303000d0a', 'hex'));
}
refuses('a bare LF', 'imap', 'a1 LOGIN alice@contoso.test secret\n');
refuses('a bare CR', 'imap', 'a1 NOOP\rb1 NOOP\r\n');
refuses('a bare LF', 'pop3', 'USER alice@contoso.test\n');
refuses('a bare CR', 'pop3', 'NOOP\rNOOP\r\n');
refuses('a bare LF', 'smtp', 'EHLO client.test\n');
refuses('a bare CR', 'smtp', 'NOOP\rNOOP\r\n');
refuses('a command in the wrong state', 'imap', 'a1 SELECT INBOX\r\n', /^a1 (?:BAD|NO) .*\r\n/m);
refuses('a command in the wrong state', 'pop3', 'STAT\r\n');
refuses('a command in the wrong state', 'smtp', 'MAIL FROM:<alice@contoso.test>\r\n', /^(?:530|503) .*\r\n/m);
refuses('a huge literal', 'imap', 'a1 LOGIN {999999999}\r\n', /^(?:a1 (?:BAD|NO)|\* BYE) .*\r\n/m);
refuses(
  'a huge literal without waiting',
  'imap',
  `a1 LOGIN {999999999+}\r\n${MEGABYTE}`,
  /^(?:a1 (?:BAD|NO)|\* BYE) .*\r\n/m,
);
refuses('a literal that is no number', 'imap', 'a1 LOGIN {12x}\r\n', /^a1 BAD .*\r\n/m);
refuses('an unclosed quotation', 'imap', 'a1 LOGIN "alice@contoso.test secret\r\n', /^a1 BAD .*\r\n/m);
refuses('invalid base64', 'imap', 'a1 AUTHENTICATE PLAIN #!?\r\n', /^a1 (?:BAD|NO) .*\r\n/m);
refuses('invalid base64', 'pop3', 'AUTH PLAIN #!?\r\n');
refuses('invalid base64', 'smtp', 'EHLO client.test\r\nAUTH PLAIN #!?\r\n', /^5\d\d .*\r\n/m);
const notUtf8 = base64(
  Buffer.concat([Buffer.from('\0'), Buffer.from([0xff, 0xfe]), Buffer.from('\0'), Buffer.from([0xc3, 0x28])]),
);
refuses('invalid UTF-8', 'imap', `a1 AUTHENTICATE PLAIN ${notUtf8}\r\n`, /^a1 (?:BAD|NO) .*\r\n/m);
refuses('invalid UTF-8', 'pop3', `AUTH PLAIN ${notUtf8}\r\n`);
refuses('invalid UTF-8', 'smtp', `EHLO client.test\r\nAUTH PLAIN ${notUtf8}\r\n`, /^[45]\d\d .*\r\n/m);
refuses(
  '8-bit bytes in LOGIN',
  'imap',
  Buffer.from('a1 LOGIN "\u00ff\u00fe" "\u00c3("\r\n', 'latin1'),
  /^a1 (?:BAD|NO) .*\r\n/m,
);

const STARTTLS: Readonly<Record<Protocol, { command: string; go: RegExp; injected: string; answer: RegExp }>> = {
  imap: { command: 's1 STARTTLS\r\n', go: /^s1 OK .*\r\n/m, injected: 'x1 CAPABILITY\r\n', answer: /x1 / },
  pop3: { command: 'STLS\r\n', go: /^\+OK.*\r\n/m, injected: 'CAPA\r\n', answer: /\+OK/ },
  smtp: { command: 'EHLO c\r\nSTARTTLS\r\n', go: /^220 .*\r\n/m, injected: 'EHLO evil\r\n', answer: /250/ },
};

for (const protocol of PROTOCOLS) {
  test(`${protocol}: plain text sent together with STARTTLS is never taken for encrypted`, { skip }, async () => {
    const { command, go, injected, answer } = STARTTLS[protocol];
    const wire = await greeted(protocol);
    try {
      wire.send(command + injected);
      // Refused outright, closed, or secured with the injected bytes discarded: all are safe, an answer to them is not.
      const said = await wire.until(new RegExp(`${go.source}|${REFUSAL[protocol].source}`, 'm')).catch(() => '');
      if (go.test(said)) await wire.secure(gateway.caPem).catch(() => wire.destroy());
      const rest = wire.isClosed ? '' : await Promise.race([wire.closed().catch(() => ''), delay(300, '')]);
      assert.doesNotMatch(rest, answer);
    } finally {
      wire.destroy();
    }
    await bystanderAnswers();
  });

  test(`${protocol}: a half-closed connection is ended, not kept`, { skip }, async () => {
    const wire = await greeted(protocol);
    wire.end();
    await wire.closed(5000);
    wire.destroy();
  });

  test(
    `${protocol}: somebody silent, and somebody who drips, is sent away after the time to sign in`,
    { skip },
    async () => {
      const silent = await greeted(protocol);
      const dripping = await greeted(protocol);
      const stop = new AbortController();
      const drip = (async () => {
        while (!stop.signal.aborted) {
          dripping.send('A');
          await delay(100);
        }
      })();
      try {
        await Promise.all([silent.closed(), dripping.closed()]);
      } finally {
        stop.abort();
        await drip;
        silent.destroy();
        dripping.destroy();
      }
      await bystanderAnswers();
    },
  );
}

test('A50: no octet hides a transaction from the gateway that Postfix runs', { skip }, async () => {
  // The sender is one that this Postfix would take; the author is not.
  const inner =
    'RSET\r\nMAIL FROM:<alice@contoso.test>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\nFrom: ceo@bank.example\r\nSubject: smuggled\r\n.\r\n';
  const credentials = base64(`\0${gateway.door.user}\0${gateway.door.password}`);
  const begin = 'MAIL FROM:<alice@contoso.test>\r\nRCPT TO:<bob@contoso.test>\r\n';
  const session = async (): Promise<Wire> => {
    const wire = await greeted('smtp');
    wire.send(`EHLO client.test\r\nAUTH PLAIN ${credentials}\r\n`);
    await wire.until(/^235 .*\r\n/m);
    wire.send(begin);
    await wire.until(/^250 .*\r\n250 .*\r\n/m);
    return wire;
  };
  for (const octet of ['\xa0', '\x0b', '\x0c', '\x85', '\0', '\x1f'])
    for (const end of ['\r\n', '\n']) {
      const wire = await session();
      wire.send(`BDAT${octet}${inner.length}${end}${inner}QUIT\r\n`);
      const said = await wire.closed();
      assert.doesNotMatch(said, /queued as/, JSON.stringify(octet));
      wire.destroy();
    }
  const honest = await session();
  honest.send('DATA\r\n');
  await honest.until(/^354 .*\r\n/m);
  honest.send('From: alice@contoso.test\r\nSubject: honest\r\n\r\nbody\r\n.\r\n');
  await honest.until(/^250 .*queued as.*\r\n/m);
  honest.destroy();
  const arrived = (subject: string): boolean =>
    site.dovecot.messages('bob@contoso.test').some(({ body }) => body.includes(`Subject: ${subject}`));
  for (let at = 0; at < 200 && !arrived('honest'); at++) await delay(50);
  assert.ok(arrived('honest'));
  assert.ok(!arrived('smuggled'));
  await bystanderAnswers();
});

test('hundreds of bad peers at once leave memory and the bystander as they were', { skip }, async () => {
  const before = await settled();
  for (let round = 0; round < 4; round++) {
    const wires = await Promise.all(
      Array.from({ length: 50 }, (_, index) => Wire.open(gateway.door[PROTOCOLS[index % 3]!])),
    );
    for (const [index, wire] of wires.entries()) {
      if (index % 4 === 0) wire.send(MEGABYTE);
      else if (index % 4 === 1) wire.send('GET / HTTP/1.1\r\n\r\n');
      else if (index % 4 === 2) wire.send('a1 LOGIN {99999999+}\r\nAAAA');
      else wire.send(Buffer.alloc(4096, 0xff));
    }
    await bystanderAnswers();
    for (const wire of wires) wire.destroy();
  }
  const grown = (await settled()) - before;
  assert.ok(grown < 64 * 2 ** 20, `grew by ${Math.round(grown / 2 ** 20)} MiB`);
  await bystanderAnswers();
});

test('the gateway is still the same process and reported no defect', { skip }, () => {
  assert.ok(gateway.running, 'the process runs');
  assert.doesNotMatch(gateway.output(), /unhandled|uncaught|base\.bug|TypeError|RangeError/i);
});

/** Resident bytes once they have stopped changing. */
async function settled(): Promise<number> {
  let last = 0;
  for (let same = 0; same < 3;) {
    await delay(100);
    const now = residentBytes(gateway.pid);
    same = Math.abs(now - last) < 2 ** 20 ? same + 1 : 0;
    last = now;
  }
  return last;
}
