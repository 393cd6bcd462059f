/** Whatever a client sends, before sign-in and after it, the mail servers answer or end the connection, and go on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { connect as connectPlain, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type Log, nullLog } from '../../base/log.ts';
import { TenantClient } from '../../../test/bed/tenant-client.ts';
import { type Sandbox, startSandbox } from '../index.ts';

const ALICE = 'alice@contoso.test';
const problems: string[] = [];
const log: Log = {
  ...nullLog,
  warn: (fields, message) => void problems.push(`${message}: ${JSON.stringify(fields)}`),
  error: (fields, message) => void problems.push(`${message}: ${JSON.stringify(fields)}`),
};
let sandbox: Sandbox;
let client: TenantClient;
let bearer: string;
before(async () => {
  sandbox = await startSandbox({ log });
  client = new TenantClient(sandbox);
  bearer = await client.bearer(ALICE);
});
after(async () => {
  await client.close();
  await sandbox.close();
});

const words = {
  imap: [
    'a ',
    'FETCH ',
    'UID ',
    '1:* ',
    '(BODY[',
    'BODY.PEEK[1.2.MIME]<0.5>',
    '] ',
    '{3}\r\n',
    '{99999999999}\r\n',
    '{5+}\r\n',
    'SELECT ',
    'INBOX',
    'STORE 1 +FLAGS (\\Seen \\',
    ') ',
    'SEARCH ',
    'OR NOT ',
    '((((',
    'HEADER x "y\\"',
    'APPEND ',
    'Drafts ',
    '"01-Jan-2026 00:00:00 +0000" ',
    'IDLE',
    'DONE',
    'LIST "" ',
    '%*',
    '&AAA-',
    '&',
    'COPY 1 ',
    'MOVE ',
    'CREATE ',
    '//',
    'RENAME INBOX x',
    'STATUS ',
    'AUTHENTICATE ',
    'LOGIN ',
    'EXPUNGE',
    'ENABLE ',
    'NAMESPACE',
    '\x00',
    '\xff\xfe',
    '\t',
    '""',
    '*',
    '4294967296',
    '-1',
  ],
  pop3: [
    'RETR ',
    'TOP ',
    'DELE ',
    'LIST ',
    'UIDL ',
    'STAT',
    'RSET',
    'NOOP',
    'QUIT',
    'AUTH ',
    'XOAUTH2 ',
    '=',
    '1 ',
    '0 ',
    '-1 ',
    '99999999999999999999',
    '\x00',
    '\xff',
    'CAPA',
  ],
  smtp: [
    'MAIL FROM:<',
    ALICE,
    '> ',
    'SIZE=',
    '99999999999999999999',
    ' BODY=BINARYMIME',
    'RCPT TO:<',
    'DATA',
    '.',
    'BDAT ',
    '10 ',
    'LAST',
    'RSET',
    'NOOP',
    'EHLO ',
    'AUTH ',
    'STARTTLS',
    'VRFY x',
    'QUIT',
    '\x00',
    '\xff',
    ' '.repeat(1100),
    '<<>>',
    '@',
    'From: <',
    'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n',
  ],
} as const;

/** The connection up to where commands are taken, signed in. */
async function open(place: keyof typeof words): Promise<Socket> {
  const { port } = sandbox.mail[place];
  if (place === 'smtp') {
    const plain = connectPlain(port, '127.0.0.1');
    await answer(plain, /^220 .*\r\n/m);
    plain.write('EHLO x\r\n');
    await answer(plain, /^250 .*\r\n/m);
    plain.write('STARTTLS\r\n');
    await answer(plain, /^220 .*\r\n/m);
    const secured = connect({ socket: plain, ca: sandbox.caPem, servername: 'localhost' });
    await once(secured, 'secureConnect');
    secured.write('EHLO x\r\n');
    await answer(secured, /^250 .*\r\n/m);
    secured.write(`AUTH XOAUTH2 ${bearer}\r\n`);
    await answer(secured, /^235 .*\r\n/m);
    return secured;
  }
  const socket = connect({ port, host: 'localhost', ca: sandbox.caPem });
  await answer(socket, /^(?:\* OK|\+OK) .*\r\n/m);
  if (place === 'imap') {
    socket.write(`a AUTHENTICATE XOAUTH2 ${bearer}\r\nb SELECT Drafts\r\n`);
    await answer(socket, /^b OK .*\r\n/m);
  } else {
    socket.write(`AUTH XOAUTH2\r\n${bearer}\r\n`);
    await answer(socket, /^\+OK User .*\r\n|^-ERR .*\r\n/m);
  }
  return socket;
}

async function answer(socket: Socket, pattern: RegExp): Promise<void> {
  let text = '';
  for await (const [piece] of on(socket)) {
    text += piece;
    if (pattern.test(text)) return;
  }
  throw new Error(`closed before ${String(pattern)}: ${text}`);
}

async function* on(socket: Socket): AsyncGenerator<[string]> {
  for (;;) {
    const [piece] = (await once(socket, 'data')) as [Buffer];
    yield [piece.toString('latin1')];
  }
}

for (const place of ['imap', 'pop3', 'smtp'] as const) {
  test(`${place}: commands put together at random`, async () => {
    const text = fc
      .array(fc.oneof(fc.constantFrom<string>(...words[place], '\r\n', '\r\n'), fc.string({ maxLength: 8 })), {
        maxLength: 40,
      })
      .map((parts) => parts.join(''));
    await fc.assert(
      fc.asyncProperty(text, async (sent) => {
        const socket = await open(place);
        socket.on('error', () => socket.destroy());
        socket.resume();
        socket.end(Buffer.from(`${sent}\r\n`, 'latin1'));
        if (!socket.closed) await once(socket, 'close');
        assert.deepEqual(problems.splice(0), []);
      }),
      { numRuns: 60 },
    );
    // It still serves, and nothing is held for those who left.
    const socket = await open(place);
    socket.destroy();
  });
}

test('nothing is held for clients that went away', async () => {
  for (let tries = 0; tries < 500 && sandbox.mailStore.find(ALICE)!.popLocked; tries++)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(sandbox.mailStore.find(ALICE)!.popLocked, false);
  const wire = await client.smtp();
  await client.smtpAuth(wire, ALICE);
  assert.match(await client.submit(wire, ALICE, [ALICE]), /^250/, 'no transaction of theirs is open');
});
