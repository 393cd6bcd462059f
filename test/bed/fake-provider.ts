/** A provider's mail servers that speak just enough, with certificates of a CA made for the test. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { PosternError } from '../../src/base/error.ts';
import type { MailEndpoint } from '../../src/oauth/types.ts';
import { protocolError } from '../../src/protocol/errors.ts';
import * as imap from '../../src/protocol/imap/server.ts';
import * as pop3 from '../../src/protocol/pop3/server.ts';
import type { Credentials } from '../../src/protocol/sasl/mechanism.ts';
import * as smtp from '../../src/protocol/smtp/server.ts';
import { createAuthority, issueCertificate } from '../../src/protocol/tls/local-ca.ts';
import { secureServer, serverContext } from '../../src/protocol/tls/server.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import type { Protocol } from '../../src/store/protocols.ts';
import { portOf } from './port.ts';

const servers = { imap, pop3, smtp };

export interface Certificates {
  readonly ca: string;
  issue(): Promise<{ cert: string; key: string }>;
}

export async function certificates(): Promise<Certificates> {
  const authority = await createAuthority('Postern test');
  return {
    ca: authority.certPem,
    async issue() {
      const { certPem, keyPem } = await issueCertificate(authority, { names: ['localhost', '127.0.0.1'], days: 2 });
      return { cert: certPem, key: keyPem };
    },
  };
}

/** A provider's mail server for one protocol: takes tokens only, then answers a few invented commands. */
export interface FakeProvider {
  readonly endpoint: MailEndpoint;
  /** Connections ever accepted, and open now. */
  readonly accepted: number;
  readonly open: number;
  /** Tokens it saw, in order. */
  readonly tokens: readonly string[];
  /** Tokens it lets in. */
  readonly good: Set<string>;
  /** Set to refuse otherwise than with the usual words. */
  refusal: PosternError;
  /** Lines received after sign-in. */
  readonly lines: readonly string[];
  /** Octets taken by `PUT`. */
  readonly taken: number;
  /** Accept but never say a word. */
  silent: boolean;
  /** Drops all connections as a crash would. */
  crash(): void;
  close(): Promise<void>;
}

const CAPABILITIES = [
  'IMAP4rev1',
  'IMAP4rev2',
  'AUTH=XOAUTH2',
  'SASL-IR',
  'IDLE',
  'UIDPLUS',
  'COMPRESS=DEFLATE',
  'UNAUTHENTICATE',
  'LITERAL+',
];
const EHLO = [
  'SIZE 157286400',
  'PIPELINING',
  'DSN',
  'ENHANCEDSTATUSCODES',
  '8BITMIME',
  'CHUNKING',
  'SMTPUTF8',
  'XCLIENT NAME',
];
const CAPA = ['TOP', 'UIDL', 'PIPELINING', 'UTF8'];

export async function fakeProvider(
  protocol: Protocol,
  authority: Certificates,
  options: {
    readonly tls?: 'implicit' | 'starttls';
    readonly extensions?: readonly string[];
    /** IMAP capabilities after sign-in. */
    readonly capabilities?: readonly string[];
    /** What a line is answered with; `undefined`: as below. */
    readonly answer?: (line: string) => string | undefined | Promise<string>;
    readonly port?: number;
  } = {},
): Promise<FakeProvider> {
  const context = serverContext(await authority.issue());
  const open = new Set<Socket>();
  const good = new Set(['token-1']);
  const tokens: string[] = [];
  const lines: string[] = [];
  let accepted = 0;
  let taken = 0;
  const tls = options.tls ?? 'implicit';
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (plain) => {
    accepted += 1;
    open.add(plain);
    plain.on('close', () => open.delete(plain));
    plain.on('error', () => plain.destroy());
    if (fake.silent) plain.on('end', () => plain.destroy()).resume();
    else void serve(plain).catch(() => plain.destroy());
  });
  const serve = async (plain: Socket): Promise<void> => {
    const conn = new Conn(tls === 'implicit' ? await secureServer(plain, context, { timeoutMs: 5000 }) : plain);
    const signedIn = await servers[protocol].serveSignIn(conn, {
      hostname: 'provider.example',
      ...(tls === 'implicit' ? {} : { secure: (socket: Socket) => secureServer(socket, context, { timeoutMs: 5000 }) }),
      allowPlain: false,
      bearer: true,
      lineOctets: 16384,
      literalOctets: 16384,
      maxFailures: 3,
      ...(protocol === 'imap'
        ? {}
        : { extensions: () => Promise.resolve(options.extensions ?? (protocol === 'smtp' ? EHLO : CAPA)) }),
      verify(credentials: Credentials) {
        const token = credentials.secret.reveal();
        tokens.push(token);
        if (good.has(token))
          return Promise.resolve({ type: 'accept', capabilities: options.capabilities ?? CAPABILITIES } as const);
        return Promise.resolve({ type: 'refuse', error: fake.refusal } as const);
      },
    });
    if (signedIn === 'closed') return conn.end();
    await commands(conn);
  };
  /** `t GET n`: n octets in a literal. `t PUT {n+}` and n octets. `QUIT` or `t LOGOUT`. Anything else is echoed, in IMAP as an answer. */
  const commands = async (conn: Conn): Promise<void> => {
    for (;;) {
      const line = (await conn.line(65536))?.toString();
      if (line === undefined) return conn.end();
      lines.push(line);
      const answer = await options.answer?.(line);
      if (answer !== undefined) {
        await conn.write(answer);
        continue;
      }
      const [tag, verb, size = ''] = line.split(' ');
      if (tag === 'QUIT' || verb === 'LOGOUT')
        return conn.end(protocol === 'imap' ? `* BYE bye\r\n${tag} OK bye\r\n` : 'bye\r\n');
      const octets = Number(size.replace(/[{}+]/g, ''));
      if (verb === 'GET') {
        await conn.write(`* 1 FETCH (BODY[] {${octets}}\r\n`);
        for (let left = octets; left > 0; left -= CHUNK.length) await conn.write(CHUNK.subarray(0, left));
        await conn.write(')\r\n');
      } else if (verb === 'PUT') {
        for await (const piece of conn.stream(octets)) taken += piece.length;
        await conn.line(0);
      }
      await conn.write(
        protocol === 'imap'
          ? `${tag} OK did ${line.slice(tag!.length + 1)}\r\n`
          : `${protocol === 'smtp' ? '250 ' : ''}did ${line}\r\n`,
      );
    }
  };
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeProvider = {
    endpoint: {
      protocol,
      host: '127.0.0.1',
      port: portOf(server),
      tls,
      user: 'alice@contoso.test',
      mechanisms: ['XOAUTH2', 'OAUTHBEARER'],
      trust: { ca: authority.ca },
    },
    get accepted() {
      return accepted;
    },
    get open() {
      return open.size;
    },
    tokens,
    good,
    lines,
    get taken() {
      return taken;
    },
    refusal: protocolError('sasl.refused', 'AUTHENTICATE failed'),
    silent: false,
    crash() {
      for (const socket of open) socket.resetAndDestroy();
    },
    async close() {
      server.close();
      for (const socket of open) socket.destroy();
      if (server.listening) await once(server, 'close');
    },
  };
  return fake;
}

const CHUNK = Buffer.alloc(64 * 1024, 'x');
