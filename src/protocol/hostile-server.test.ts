/** Mail servers that break the rules, by name: the client halves end with the right error and give nothing away. Over memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySocket } from '../../test/bed/memory-socket.ts';
import { isError, type PosternError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import type { BearerSignedIn, BearerSignInOptions } from './bearer-sign-in.ts';
import * as imap from './imap/client.ts';
import * as pop3 from './pop3/client.ts';
import * as smtp from './smtp/client.ts';
import { Conn } from './wire/conn.ts';

const clients = { imap, pop3, smtp };
type Protocol = keyof typeof clients;

const TOKEN = 'a-token-nobody-may-see';
/** Greeting, and what an ordinary server answers to the question before sign-in. */
const GREETING: Readonly<Record<Protocol, string>> = {
  imap: '* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello\r\n',
  pop3: '+OK hello\r\n',
  smtp: '220 hello\r\n',
};
const ASKED: Readonly<Record<Protocol, string>> = {
  imap: '',
  pop3: '+OK\r\nSASL XOAUTH2\r\n.\r\n',
  smtp: '250-mail.test\r\n250 AUTH XOAUTH2\r\n',
};
const CHALLENGE = { imap: '+ e30=\r\n', pop3: '+ e30=\r\n', smtp: '334 e30=\r\n' };

interface Ending {
  readonly said: string;
  readonly outcome: BearerSignedIn | PosternError;
}

/** Runs a client against `answer`, called with each line it says; undefined hangs up. */
async function meet(
  protocol: Protocol,
  greeting: string | undefined,
  answer: (line: string) => string | undefined,
  options: Partial<BearerSignInOptions> = {},
): Promise<Ending> {
  const socket = new MemorySocket();
  let said = '';
  const reply = (text: string | undefined): void =>
    void setImmediate(() => (text === undefined ? socket.finish() : socket.feed(Buffer.from(text))));
  socket.onWritten = (bytes) => {
    said += bytes.toString();
    reply(answer(bytes.toString()));
  };
  const conn = new Conn(socket);
  reply(greeting);
  const outcome = await clients[protocol]
    .signIn(conn, {
      tls: 'none',
      user: 'alice@contoso.test',
      token: new Secret(TOKEN),
      host: 'mail.test',
      port: 993,
      mechanisms: ['XOAUTH2', 'OAUTHBEARER'],
      ...options,
    })
    .catch((error: unknown) => {
      assert.ok(isError(error), String(error));
      return error;
    });
  conn.destroy();
  return { said, outcome };
}

/** An ordinary server up to the sign-in command, then `then`. */
const ordinary =
  (protocol: Protocol, then: (line: string) => string | undefined) =>
  (line: string): string | undefined =>
    /^(?:CAPA|EHLO)/.test(line) ? ASKED[protocol] : then(line);

function failed({ outcome }: Ending, code: string): PosternError {
  assert.ok(isError(outcome), `signed in instead of ${code}`);
  assert.equal(outcome.code, code, outcome.message);
  return outcome;
}

for (const protocol of ['imap', 'pop3', 'smtp'] as const) {
  test(`${protocol}: endless challenges are a syntax error`, async () => {
    let challenges = 0;
    const ending = await meet(
      protocol,
      GREETING[protocol],
      ordinary(protocol, () => (++challenges, CHALLENGE[protocol])),
    );
    failed(ending, 'wire.syntax');
    assert.ok(challenges <= 6, `${challenges} challenges were answered`);
  });

  test(`${protocol}: STARTTLS that is not offered, or refused, gives nothing away`, async () => {
    const plain = { ...GREETING, imap: '* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] hello\r\n' }[protocol];
    const secure = (): Promise<never> => Promise.reject(new Error('must not be reached'));
    const stripped = await meet(
      protocol,
      plain,
      ordinary(protocol, () => 'x'),
      { tls: 'starttls', secure },
    );
    failed(stripped, 'tls.stripped');
    assert.doesNotMatch(stripped.said, /AUTH|XOAUTH2/);
    const offer = {
      imap: '* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=XOAUTH2] hello\r\n',
      pop3: GREETING.pop3,
      smtp: GREETING.smtp,
    }[protocol];
    const refuse = (line: string): string =>
      line.startsWith('CAPA')
        ? '+OK\r\nSTLS\r\n.\r\n'
        : line.startsWith('EHLO')
          ? '250-mail.test\r\n250 STARTTLS\r\n'
          : { imap: 'p1 NO not now\r\n', pop3: '-ERR not now\r\n', smtp: '454 not now\r\n' }[protocol];
    const refused = await meet(protocol, offer, refuse, { tls: 'starttls', secure });
    failed(refused, 'tls.stripped');
    assert.doesNotMatch(refused.said, /AUTH/);
    const inject = (line: string): string =>
      /^(?:CAPA|EHLO)/.test(line)
        ? refuse(line)
        : {
            imap: 'p1 OK go\r\n* CAPABILITY AUTH=XOAUTH2\r\n',
            pop3: '+OK go\r\n+OK\r\nSASL XOAUTH2\r\n.\r\n',
            smtp: '220 go\r\n250 AUTH XOAUTH2\r\n',
          }[protocol];
    const injected = await meet(protocol, offer, inject, { tls: 'starttls', secure });
    failed(injected, 'wire.injected');
    assert.doesNotMatch(injected.said, /AUTH/);
  });

  for (const [name, greeting, code] of [
    ['HTTP', 'HTTP/1.1 400 Bad Request\r\n', 'wire.syntax'],
    ['an endless line', 'x'.repeat(70_000), 'wire.line-too-long'],
    ['a bare LF', '220 hello\n', 'wire.bare-newline'],
    ['a hang-up', undefined, 'wire.closed'],
  ] as const)
    test(`${protocol}: ${name} instead of a greeting`, async () => {
      const ending = await meet(protocol, greeting, () => '');
      failed(ending, code);
      assert.equal(ending.said, '');
    });

  // RFC 9051 §7.1, RFC 1939 §4, RFC 5321 §3.1
  test(`${protocol}: a greeting that turns us away is told from one that says not now`, async () => {
    const later = { imap: '* BYE busy\r\n', pop3: '-ERR busy\r\n', smtp: '421 busy\r\n' }[protocol];
    assert.equal(failed(await meet(protocol, later, () => ''), 'wire.closed').kind, 'later');
    if (protocol === 'imap') return; // its BYE does not say which
    const never = protocol === 'pop3' ? '-ERR [SYS/PERM] blocked\r\n' : '554-blocked\r\n554 blocked\r\n';
    const error = failed(await meet(protocol, never, () => ''), 'wire.refused');
    assert.equal(error.kind, 'refused');
    assert.match(String(error.detail['reply']), /blocked/);
  });

  test(`${protocol}: hanging up instead of a verdict, and a verdict that is none`, async () => {
    failed(
      await meet(
        protocol,
        GREETING[protocol],
        ordinary(protocol, () => undefined),
      ),
      'wire.closed',
    );
    const odd = { imap: 'p9 OK\r\n', pop3: 'hm\r\n', smtp: 'hm\r\n' }[protocol];
    failed(
      await meet(
        protocol,
        GREETING[protocol],
        ordinary(protocol, () => odd),
      ),
      'wire.syntax',
    );
    const noBase64 = { imap: '+ !!!\r\n', pop3: '+ !!!\r\n', smtp: '334 !!!\r\n' }[protocol];
    let asked = 0;
    const twice = ordinary(protocol, () => (asked++ === 0 ? CHALLENGE[protocol] : noBase64));
    failed(await meet(protocol, GREETING[protocol], twice), 'sasl.malformed');
  });

  // RFC 5530 §3, RFC 3206 §4, RFC 4954 §6
  test(`${protocol}: refused and not now are kept apart, the words are kept whole and the token is not in them`, async () => {
    const no = {
      imap: 'p1 NO [AUTHENTICATIONFAILED] für dich nicht\r\n',
      pop3: '-ERR [AUTH] für dich nicht\r\n',
      smtp: '535 5.7.3 für dich nicht\r\n',
    };
    const refused = failed(
      await meet(
        protocol,
        GREETING[protocol],
        ordinary(protocol, () => no[protocol]),
      ),
      'sasl.refused',
    );
    assert.match(String(refused.detail['reply']), /für dich nicht/);
    assert.doesNotMatch(JSON.stringify(refused), new RegExp(TOKEN));
    const later = {
      imap: 'p1 NO [UNAVAILABLE] later\r\n',
      pop3: '-ERR [SYS/TEMP] later\r\n',
      smtp: '454 4.7.0 later\r\n',
    };
    failed(
      await meet(
        protocol,
        GREETING[protocol],
        ordinary(protocol, () => later[protocol]),
      ),
      'sasl.unavailable',
    );
  });

  test(`${protocol}: no OAuth on offer sends no token`, async () => {
    const ending = await meet(
      protocol,
      { ...GREETING, imap: '* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\r\n' }[protocol],
      () => ({ imap: '', pop3: '+OK\r\nSASL PLAIN\r\n.\r\n', smtp: '250-mail.test\r\n250 AUTH PLAIN\r\n' })[protocol],
    );
    failed(ending, 'sasl.no-mechanism');
    assert.doesNotMatch(ending.said, /AUTH/);
  });
}

// RFC 5321 §4.2.1
test('imap: endless untagged lines, pop3: endless capabilities, smtp: endless reply', async () => {
  const untagged = await meet('imap', GREETING.imap, () => '* OK still here\r\n'.repeat(500));
  failed(untagged, 'wire.syntax');
  failed(await meet('pop3', GREETING.pop3, () => `+OK\r\n${'X\r\n'.repeat(500)}`), 'wire.syntax');
  failed(await meet('smtp', GREETING.smtp, () => '250-X\r\n'.repeat(500)), 'wire.syntax');
});
