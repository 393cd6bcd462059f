/** Mail programs that break the rules, by name: each gets its protocol's refusal within the bounds. Over memory. */
import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { certificates } from '../../test/bed/fake-provider.ts';
import { Wire } from '../../test/bed/wire.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError } from '../base/error.ts';
import { MemorySocket } from '../../test/bed/memory-socket.ts';
import { protocolError } from './errors.ts';
import * as imap from './imap/server.ts';
import * as pop3 from './pop3/server.ts';
import type { SignedIn, SignInOptions } from './sign-in.ts';
import * as smtp from './smtp/server.ts';
import { secureServer, serverContext } from './tls/server.ts';
import { Conn, type ConnOptions } from './wire/conn.ts';

const servers = { imap, pop3, smtp };
type Protocol = keyof typeof servers;
const PROTOCOLS = ['imap', 'pop3', 'smtp'] as const;

const LINE_OCTETS = 1000;
const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

class Talk {
  readonly socket = new MemorySocket();
  readonly conn: Conn;
  readonly result: Promise<SignedIn | 'closed'>;
  verified = 0;
  #said = '';

  constructor(protocol: Protocol, options: Partial<SignInOptions> = {}, connOptions: ConnOptions = {}) {
    this.socket.onWritten = (bytes) => void (this.#said += bytes.toString('latin1'));
    this.conn = new Conn(this.socket, connOptions);
    this.result = servers[protocol].serveSignIn(this.conn, {
      hostname: 'mail.test',
      allowPlain: true,
      bearer: true,
      lineOctets: LINE_OCTETS,
      literalOctets: 100,
      maxFailures: 3,
      verify: async ({ secret }) => {
        this.verified++;
        return secret.reveal() === 'right'
          ? { type: 'accept', text: 'in\r\n* BYE forged', capabilities: ['IMAP4rev1', 'BAD]\r\n* X'] }
          : { type: 'refuse', error: protocolError('sasl.refused', 'wrong\r\nforged') };
      },
      ...options,
    });
    this.result.catch(() => undefined); // asserted where it is expected
  }

  /** Sends and waits until everything was answered; gives the lines said since the last call. */
  async say(text: string): Promise<string[]> {
    this.socket.feed(Buffer.from(text, 'latin1'));
    return this.heard();
  }

  async heard(): Promise<string[]> {
    for (let turn = 0; turn < 20; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    const lines = this.#said.split('\r\n').slice(0, -1);
    this.#said = '';
    return lines;
  }

  async last(text: string): Promise<string> {
    return (await this.say(text)).at(-1) ?? '';
  }
}

const plainBad = (protocol: Protocol): string =>
  `${protocol === 'imap' ? 'a AUTHENTICATE' : 'AUTH'} PLAIN ${base64('\0u\0wrong')}\r\n`;
const noop = (protocol: Protocol): string => (protocol === 'imap' ? 'a NOOP\r\n' : 'NOOP\r\n');
const BYE = { imap: /^\* BYE /, pop3: /^-ERR /, smtp: /^(?:421|5\d\d) / };
const secure = (): Promise<never> => Promise.reject(new Error('must not be reached'));

for (const protocol of PROTOCOLS) {
  for (const [name, bytes] of [
    ['an endless line', 'x'.repeat(LINE_OCTETS + 2)],
    ['a line one octet too long', `${'x'.repeat(LINE_OCTETS + 1)}\r\n`],
    ['a bare LF', 'NOOP\n'],
    ['a bare CR', 'NOOP\rNOOP\r\n'],
    ['HTTP', 'POST / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ] as const)
    test(`${protocol}: ${name} ends the session with one reply`, async () => {
      const talk = new Talk(protocol);
      await talk.heard();
      const lines = await talk.say(bytes);
      assert.equal(lines.length, 1);
      assert.match(lines[0]!, BYE[protocol]);
      assert.equal(await talk.result, 'closed');
    });

  test(`${protocol}: commands injected behind STARTTLS are never taken`, async () => {
    const talk = new Talk(protocol, { secure, allowPlain: false });
    const starttls = { imap: 'a STARTTLS\r\n', pop3: 'STLS\r\n', smtp: 'STARTTLS\r\n' }[protocol];
    assert.match(await talk.last(starttls + noop(protocol)), BYE[protocol]);
    assert.equal(await talk.result, 'closed');
  });

  // RFC 3207 §4.2, RFC 9051 §6.2.1, RFC 2595 §4
  test(`Q3: ${protocol}: plain text that comes while the answer to STARTTLS is on its way is never taken for encrypted`, async (t) => {
    const context = serverContext(await (await certificates()).issue());
    const server = createServer({ allowHalfOpen: true });
    const ended = new Promise<SignedIn | 'closed' | Error>((resolve) => {
      server.on('connection', (socket) => {
        t.after(() => socket.destroy());
        const conn = new Conn(socket);
        servers[protocol]
          .serveSignIn(conn, {
            hostname: 'mail.test',
            allowPlain: false,
            bearer: false,
            lineOctets: LINE_OCTETS,
            literalOctets: 100,
            maxFailures: 3,
            secure: (plain) => secureServer(plain, context, { timeoutMs: 5000 }),
            verify: async () => assert.fail('nobody has signed in'),
          })
          .then(resolve, resolve)
          .finally(() => conn.end());
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const wire = await Wire.open({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    t.after(() => wire.destroy());
    await wire.until(/^.*\r\n/);
    wire.send({ imap: 'a STARTTLS\r\n', pop3: 'STLS\r\n', smtp: 'STARTTLS\r\n' }[protocol]);
    await wire.until(/^(?:a OK|\+OK|220) .*\r\n/);
    wire.send(noop(protocol).repeat(3) + plainBad(protocol));
    const end = await ended;
    assert.ok(isError(end) && /^(?:tls|wire)\./.test(end.code), JSON.stringify(end));
    assert.doesNotMatch(await wire.closed(2000).catch(() => ''), /OK|250|235/);
  });

  test(`Q3: ${protocol}: who reads no answer to STARTTLS is waited for no longer than for a command`, async () => {
    const clock = new ManualClock();
    const talk = new Talk(protocol, { secure, allowPlain: false }, { clock, idleMs: 60_000 });
    await talk.heard();
    // Nothing that is written leaves any more.
    const stuck = talk.socket as unknown as { _write(): void; _writableState: { highWaterMark: number } };
    stuck._write = () => undefined;
    stuck._writableState.highWaterMark = 1;
    await talk.say({ imap: 'a STARTTLS\r\n', pop3: 'STLS\r\n', smtp: 'STARTTLS\r\n' }[protocol]);
    // What comes meanwhile is plain text.
    await talk.say(noop(protocol));
    // Once for the answer, once for the last word where the protocol has one.
    await clock.advance(61_000);
    await talk.heard();
    await clock.advance(61_000);
    const end = await talk.result.catch((error: unknown) => (isError(error) ? error.code : error));
    assert.ok(end === 'closed' || end === 'wire.timeout', String(end));
    talk.socket.destroy();
  });

  test(`${protocol}: without TLS no password is taken, and none looks wrong`, async () => {
    const talk = new Talk(protocol, { secure, allowPlain: false });
    const answer = await talk.last(plainBad(protocol));
    assert.match(
      answer,
      { imap: /^a NO \[PRIVACYREQUIRED\]/, pop3: /^-ERR \[SYS\/PERM\]/, smtp: /^530 5\.7\.0/ }[protocol],
    );
    assert.equal(talk.verified, 0);
    talk.socket.finish();
    assert.equal(await talk.result, 'closed');
  });

  test(`${protocol}: too many failed sign-ins end the session`, async () => {
    const talk = new Talk(protocol);
    await talk.say(plainBad(protocol).repeat(9));
    assert.equal(await talk.result, 'closed');
    assert.equal(talk.verified, 3);
  });

  test(`${protocol}: bad commands and harmless ones are both bounded`, async () => {
    const bad = new Talk(protocol);
    await bad.heard();
    assert.ok((await bad.say('what is this\r\n'.repeat(500))).length <= 11);
    assert.equal(await bad.result, 'closed');
    const harmless = new Talk(protocol);
    await harmless.heard();
    const lines = await harmless.say(noop(protocol).repeat(500));
    assert.equal(lines.length, 101);
    assert.match(lines.at(-1)!, BYE[protocol]);
    assert.equal(await harmless.result, 'closed');
  });

  // RFC 9051 §6.3–6.4, RFC 1939 §5
  test(`${protocol}: a command of the wrong state is refused, and the session goes on`, async () => {
    const talk = new Talk(protocol);
    const early = { imap: 'a SELECT INBOX\r\n', pop3: 'RETR 1\r\n', smtp: 'MAIL FROM:<a@b.test>\r\n' }[protocol];
    assert.match(await talk.last(early), /^(?:a BAD sign in|-ERR sign in|530 5\.7\.0 sign in)/);
    assert.match(await talk.last(noop(protocol)), /^(?:a OK|\+OK|250)/);
    talk.socket.finish();
    assert.equal(await talk.result, 'closed');
  });

  test(`${protocol}: an end between commands is in order, within one it is not`, async () => {
    const between = new Talk(protocol);
    between.socket.finish();
    assert.equal(await between.result, 'closed');
    const within = new Talk(protocol);
    within.socket.feed(Buffer.from('NO'));
    within.socket.finish();
    await assert.rejects(within.result, (error) => isError(error, 'wire.closed'));
    const exchange = new Talk(protocol);
    await exchange.say(`${protocol === 'imap' ? 'a AUTHENTICATE' : 'AUTH'} PLAIN\r\n`);
    exchange.socket.finish();
    assert.equal(await exchange.result, 'closed');
  });

  test(`${protocol}: silence ends the session, a slow drip ends with the time for sign-in`, async () => {
    const clock = new ManualClock();
    const silent = new Talk(protocol, {}, { clock, idleMs: 60_000 });
    await silent.heard();
    await clock.advance(60_001);
    assert.equal(await silent.result, 'closed');
    assert.match((await silent.heard()).join(''), { imap: /^\* BYE /, pop3: /^$/, smtp: /^421 4\.4\.2 / }[protocol]);

    const stop = new AbortController();
    const limit = clock.after(300_000, () => stop.abort(new Error('sign-in took too long')));
    const drip = new Talk(protocol, { signal: stop.signal }, { clock, idleMs: 60_000 });
    for (let n = 0; n < 6; n++) {
      await drip.say('N');
      await clock.advance(59_000);
    }
    await assert.rejects(drip.result, /took too long/);
    limit.cancel();
  });

  // RFC 7628 §3.2.2, §3.2.3
  test(`${protocol}: a refused bearer token is reported first; any answer will do, a hang-up too`, async () => {
    const start = protocol === 'imap' ? 'a AUTHENTICATE' : 'AUTH';
    for (const [name, message, report] of [
      ['XOAUTH2', 'user=u\x01auth=Bearer wrong\x01\x01', '{"status":"401","schemes":"bearer"}'],
      ['OAUTHBEARER', 'n,a=u,\x01auth=Bearer wrong\x01\x01', '{"status":"invalid_token"}'],
    ] as const)
      for (const answer of ['', 'AQ==', '*', '!']) {
        const talk = new Talk(protocol);
        const challenge = await talk.last(`${start} ${name} ${base64(message)}\r\n`);
        assert.equal(challenge, `${protocol === 'smtp' ? '334' : '+'} ${base64(report)}`);
        const lines = await talk.say(`${answer}\r\n`);
        assert.equal(lines.length, 1, lines.join());
        assert.match(lines[0]!, /^(?:a NO \[AUTHENTICATIONFAILED\]|-ERR \[AUTH\]|535 5\.7\.8) wrong forged/);
        talk.socket.finish();
        assert.equal(await talk.result, 'closed');
      }
    const gone = new Talk(protocol);
    await gone.say(`${start} XOAUTH2 ${base64('user=u\x01auth=Bearer wrong\x01\x01')}\r\n`);
    gone.socket.finish();
    assert.equal(await gone.result, 'closed');
  });

  test(`${protocol}: an outage is no wrong token: no report`, async () => {
    const verify = async () => ({ type: 'refuse', error: protocolError('sasl.unavailable', 'later') }) as const;
    const talk = new Talk(protocol, { verify });
    const start = protocol === 'imap' ? 'a AUTHENTICATE' : 'AUTH';
    const line = await talk.last(`${start} XOAUTH2 ${base64('user=u\x01auth=Bearer wrong\x01\x01')}\r\n`);
    assert.match(line, /^(?:a NO \[UNAVAILABLE\]|-ERR \[SYS\/TEMP\]|454 4\.7\.0) /);
    talk.socket.destroy();
  });

  test(`${protocol}: nothing a verdict says can be a line of its own`, async () => {
    const talk = new Talk(protocol);
    const lines = await talk.say(plainBad(protocol).replace(base64('\0u\0wrong'), base64('\0u\0right')));
    assert.match(lines.at(-1)!, /^(?:a OK \[CAPABILITY IMAP4rev1\]|\+OK|235 2\.7\.0) in \* BYE forged$/);
    assert.equal((await talk.heard()).length, 0);
  });

  // RFC 9051 §6.2.2, RFC 5034 §4, RFC 4954 §4
  test(`${protocol}: responses that cannot be read are refused, and the next one counts`, async () => {
    const talk = new Talk(protocol);
    const start = protocol === 'imap' ? 'a AUTHENTICATE' : 'AUTH';
    for (const response of ['!!!', base64('\0u'), base64('\0\xff\0x'), '=', '*', 'AA==BB=='])
      assert.match(await talk.last(`${start} PLAIN ${response}\r\n`), /^(?:a BAD|-ERR|501) /, response);
    assert.equal(talk.verified, 0);
    await talk.say(plainBad(protocol));
    assert.equal(talk.verified, 1);
    talk.socket.destroy();
  });
}

for (const protocol of ['pop3', 'smtp'] as const)
  test(`${protocol}: what the path behind announces cannot forge replies`, async () => {
    const extensions = async () => ['.', 'SIZE 1', 'X\r\n-ERR forged', '', ' lead', 'STARTTLS forged', 'STLS', 'Ü'];
    const talk = new Talk(protocol, { extensions });
    await talk.heard();
    const lines = await talk.say(protocol === 'pop3' ? 'CAPA\r\n' : 'EHLO x\r\n');
    assert.equal(
      lines.filter((line) => /^(?:-ERR|250.STARTTLS|STLS| |\.)/.test(line)).length,
      protocol === 'pop3' ? 1 : 0,
    );
    assert.ok(lines.some((line) => line.endsWith('SIZE 1')));
    talk.socket.destroy();
  });

test('imap: a line of * * is answered and counted like any without a tag', async () => {
  const talk = new Talk('imap');
  await talk.heard();
  assert.deepEqual(await talk.say('* *\r\n'), ['* BAD a command starts with a tag']);
  await talk.say('* *\r\n'.repeat(20));
  assert.equal(await talk.result, 'closed');
});

test('imap: huge and unexpected literals', async () => {
  const talk = new Talk('imap');
  assert.match(await talk.last('a LOGIN {101}\r\n'), /^a BAD \[TOOBIG\]/);
  assert.match(await talk.last('b NOOP {3+}\r\nabc\r\n'), /^b BAD no literal/);
  assert.match(await talk.last('c LOGIN {9999999999}\r\n'), /^c BAD \[TOOBIG\]/);
  assert.match(await talk.last('d LOGIN {1+}\r\na {1+}\r\na {1+}\r\na {1+}\r\na {1+}\r\n'), /^\* BYE a literal/);
  assert.equal(await talk.result, 'closed');
  const unasked = new Talk('imap');
  assert.match(await unasked.last('a LOGIN {101+}\r\n'), /^\* BYE a literal/);
  assert.equal(await unasked.result, 'closed');
});
