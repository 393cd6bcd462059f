/**
 * Every row of the catalogue by the way its error really comes: AADSTS numbers and OAuth words from the sandbox's authority
 * through the token engine, reply lines and SASL reports from a server on a socket through the protocol clients.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { asError, type PosternError } from '../../src/base/error.ts';
import { Secret } from '../../src/base/secret.ts';
import { builtIn } from '../../src/oauth/catalogue/catalogue.ts';
import { describeRow, diagnose, remedyText } from '../../src/oauth/catalogue/diagnose.ts';
import { openOpenidEngine } from '../../src/oauth/engine-openid.ts';
import type { DelegatedEngine } from '../../src/oauth/engine.ts';
import { openHttp } from '../../src/oauth/http.ts';
import { resolveProvider } from '../../src/oauth/provider.ts';
import * as imap from '../../src/protocol/imap/client.ts';
import * as pop3 from '../../src/protocol/pop3/client.ts';
import * as smtp from '../../src/protocol/smtp/client.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Protocol } from '../../src/store/protocols.ts';

const { errors } = builtIn();

describe('at the token endpoint', () => {
  let sandbox: Sandbox;
  let engine: DelegatedEngine;
  before(async () => {
    sandbox = await startSandbox();
    const settings = { authority: sandbox.authority, ca: sandbox.caPem };
    const profile = resolveProvider({ name: 'work', provider: 'microsoft', tenant: sandbox.tenantId, settings });
    const http = openHttp({ ca: sandbox.caPem });
    engine = openOpenidEngine({
      profile,
      clientId: sandbox.clients.public.id,
      http,
      clock: systemClock,
      credential: undefined,
    });
  });
  after(async () => {
    await engine?.close();
    await sandbox?.close();
  });

  async function refusal(failure: Parameters<Sandbox['failNextToken']>[0]): Promise<PosternError> {
    sandbox.failNextToken(failure);
    const outcome = await engine.refresh(new Secret('a-refresh-token'), []).catch(asError);
    assert.ok(outcome instanceof Error, 'refused');
    return outcome;
  }

  for (const row of errors)
    for (const match of row.match) {
      if ('aadsts' in match)
        test(`${row.id}: ${match.aadsts.join(', ')}`, async () => {
          for (const code of match.aadsts) {
            const error = await refusal({
              status: 400,
              error: 'invalid_grant',
              description: `AADSTS${code}: Words of Microsoft.`,
            });
            assert.equal(diagnose(error).id, row.id);
            assert.equal(error.hint, remedyText(describeRow(row).remedy));
            assert.equal(error.kind === 'later', row.outcome === 'later', `${code}: ${error.kind}`);
          }
        });
    }
});

/** A server that speaks the protocol up to the sign-in, and answers that with the line. */
const SCRIPTS: Readonly<
  Record<Protocol, { readonly greeting: string; answer(line: string, reply: string): string | undefined }>
> = {
  imap: {
    greeting: '* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] ready',
    answer(line, reply) {
      const tag = line.split(' ')[0]!;
      return /^\S+ AUTHENTICATE/i.test(line) ? `${reply.startsWith('BYE') ? '*' : tag} ${reply}` : `${tag} OK done`;
    },
  },
  pop3: {
    greeting: '+OK ready',
    answer: (line, reply) => (line === 'CAPA' ? '+OK\r\nSASL XOAUTH2\r\n.' : line.startsWith('AUTH') ? '+ ' : reply),
  },
  smtp: {
    greeting: '220 mail.test ESMTP',
    answer: (line, reply) => (line.startsWith('EHLO') ? '250-mail.test\r\n250 AUTH XOAUTH2' : reply),
  },
};
const clients = { imap, pop3, smtp };

async function signIn(protocol: Protocol, respond: (line: string) => string | undefined): Promise<PosternError> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.write(`${SCRIPTS[protocol].greeting}\r\n`);
    let rest = '';
    socket.on('data', (piece) => {
      const lines = `${rest}${piece.toString('latin1')}`.split('\r\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const answer = respond(line);
        if (answer !== undefined) socket.write(`${answer}\r\n`);
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const conn = new Conn(connect(port, '127.0.0.1'), { idleMs: 2000 });
  try {
    const options = {
      tls: 'none' as const,
      user: 'a@example.com',
      token: new Secret('a-token'),
      host: '127.0.0.1',
      port,
      mechanisms: ['XOAUTH2' as const],
    };
    const outcome = await clients[protocol].signIn(conn, options).catch(asError);
    assert.ok(outcome instanceof Error, 'refused');
    return outcome;
  } finally {
    conn.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

/** Nobody is written to yet: whom the server does not know there is the mailbox itself. */
const AT_SIGN_IN: Readonly<Record<string, string>> = { 'smtp.recipient-unknown': 'graph.mailbox-missing' };

describe('in answer to the sign-in', () => {
  for (const row of errors)
    for (const match of row.match)
      if ('reply' in match)
        for (const example of match.reply.examples)
          for (const protocol of match.reply.protocols) {
            // A line that is no IMAP response breaks the client's grammar instead; the check has a case for it.
            if (protocol === 'imap' && !/^(?:NO|BAD|BYE)\b/.test(example)) continue;
            test(`${row.id}: ${protocol}: ${example.slice(0, 60)}`, async () => {
              const error = await signIn(protocol, (line) => SCRIPTS[protocol].answer(line, example));
              const found = diagnose(error, { address: 'a@example.com' });
              assert.equal(found.id, AT_SIGN_IN[row.id] ?? row.id, `${error.code}: ${error.message}`);
              assert.doesNotMatch(JSON.stringify(found), /[{](?:address|host)[}]/);
            });
          }
});

describe('in a report before the refusal', () => {
  for (const row of errors)
    for (const match of row.match)
      if ('sasl' in match)
        for (const status of match.sasl.status)
          test(`${row.id}: ${status}`, async () => {
            const report = Buffer.from(
              JSON.stringify({ status, schemes: 'bearer', scope: 'https://mail.google.com/' }),
            ).toString('base64');
            let reported = false;
            const error = await signIn('smtp', (line) => {
              if (line.startsWith('EHLO')) return SCRIPTS.smtp.answer(line, '');
              if (reported) return '535 5.0.0 no';
              reported = true;
              return `334 ${report}`;
            });
            assert.equal(diagnose(error).id, row.id);
          });
});
