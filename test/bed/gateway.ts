/** A gateway on fakes: app passwords, tokens, audit and meter in memory, and a provider that speaks just enough. */
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { SignIn, SignInAttempt, SignInResult } from '../../src/access/types.ts';
import type { Audit, AuditEntry } from '../../src/audit/types.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { PosternError } from '../../src/base/error.ts';
import type { Log, LogFields } from '../../src/base/log.ts';
import { Secret } from '../../src/base/secret.ts';
import { startGateway } from '../../src/gateway/start.ts';
import type { Gateway, GatewayDeps, GatewayLimits, ListenerConfig } from '../../src/gateway/types.ts';
import type { AccessToken, MailEndpoint, TokenSource } from '../../src/oauth/types.ts';
import { protocolError } from '../../src/protocol/errors.ts';
import * as imap from '../../src/protocol/imap/server.ts';
import * as pop3 from '../../src/protocol/pop3/server.ts';
import type { Credentials } from '../../src/protocol/sasl/mechanism.ts';
import * as smtp from '../../src/protocol/smtp/server.ts';
import { createAuthority, issueCertificate } from '../../src/protocol/tls/local-ca.ts';
import { secureServer, serverContext } from '../../src/protocol/tls/server.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import type { AppPassword, Mailbox, Protocol } from '../../src/store/types.ts';

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
  /** `t GET n`: n octets in a literal. `t PUT {n+}` and n octets. `QUIT` or `t LOGOUT`. Anything else is echoed. */
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
      if (tag === 'QUIT' || verb === 'LOGOUT') return conn.end('bye\r\n');
      const octets = Number(size.replace(/[{}+]/g, ''));
      if (verb === 'GET') {
        await conn.write(`* 1 FETCH (BODY[] {${octets}}\r\n`);
        for (let left = octets; left > 0; left -= CHUNK.length) await conn.write(CHUNK.subarray(0, left));
        await conn.write(')\r\n');
      } else if (verb === 'PUT') {
        for await (const piece of conn.stream(octets)) taken += piece.length;
        await conn.line(0);
      }
      await conn.write(`did ${line}\r\n`);
    }
  };
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeProvider = {
    endpoint: {
      protocol,
      host: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
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

/** Tokens `token-1`, `token-2`, … : a rejected one is followed by the next. */
export class FakeTokens implements TokenSource {
  readonly endpoints: Partial<Record<Protocol, MailEndpoint>> = {};
  readonly rejected: string[] = [];
  /** Thrown instead of a token. */
  failure: Error | undefined;
  /** When the current token ends. */
  expiresAt = Date.now() + 3_600_000;
  #current = 1;

  accessToken(): Promise<AccessToken> {
    if (this.failure) return Promise.reject(this.failure);
    return Promise.resolve({
      value: new Secret(`token-${this.#current}`),
      expiresAt: this.expiresAt,
      scopes: [],
      grantId: 'grt_1',
    });
  }

  endpoint(_mailbox: Mailbox, protocol: Protocol): Promise<MailEndpoint> {
    return Promise.resolve(this.endpoints[protocol]!);
  }

  reject(token: AccessToken): void {
    this.rejected.push(token.value.reveal());
    this.#current += 1;
    this.expiresAt += 1;
  }
}

export const ADDRESS = 'alice@contoso.test';
export const PASSWORD = 'right-app-password';

/** Knows one app password; `next` decides the next attempts otherwise. */
export class FakeSignIn implements SignIn {
  readonly attempts: SignInAttempt[] = [];
  readonly next: (SignInResult | Error)[] = [];
  #revoked: ((ids: readonly string[]) => void) | undefined;
  #closed: ((addresses: readonly string[]) => void) | undefined;

  verify(attempt: SignInAttempt): Promise<SignInResult> {
    this.attempts.push(attempt);
    const planned = this.next.shift();
    if (planned instanceof Error) return Promise.reject(planned);
    if (planned) return Promise.resolve(planned);
    return Promise.resolve(
      attempt.user.toLowerCase() === ADDRESS && attempt.password.reveal() === PASSWORD
        ? { type: 'accepted', mailbox: MAILBOX, appPassword: APP_PASSWORD }
        : { type: 'refused', reason: 'unknown-password' },
    );
  }

  /** What `mailbox` gives. */
  current: Mailbox | undefined = MAILBOX;

  mailbox(): Promise<Mailbox | undefined> {
    return Promise.resolve(this.current);
  }

  onRevoked(callback: (ids: readonly string[]) => void): { stop(): void } {
    this.#revoked = callback;
    return { stop: () => (this.#revoked = undefined) };
  }

  revoke(): void {
    this.#revoked?.([APP_PASSWORD.id]);
  }

  onClosed(callback: (addresses: readonly string[]) => void): { stop(): void } {
    this.#closed = callback;
    return { stop: () => (this.#closed = undefined) };
  }

  /** Why the mailbox is suspended. */
  reason: string | undefined;

  suspended(): string | undefined {
    return this.reason;
  }

  closeMailbox(): void {
    this.#closed?.([ADDRESS]);
  }
}

const MAILBOX: Mailbox = {
  address: ADDRESS,
  grantId: 'grt_1',
  access: 'own',
  protocols: ['imap', 'pop3', 'smtp'],
  settings: {},
  createdAt: 0,
};
const APP_PASSWORD: AppPassword = {
  id: 'apw_1',
  label: 'printer',
  hash: '',
  mailboxes: [ADDRESS],
  protocols: ['imap', 'pop3', 'smtp'],
  networks: [],
  createdAt: 0,
  expiresAt: undefined,
  revokedAt: undefined,
  lastUsedAt: undefined,
};

export class FakeAudit implements Audit {
  readonly entries: AuditEntry[] = [];
  #waiting: { type: string; resolve: (entry: AuditEntry) => void }[] = [];

  record(entry: AuditEntry): Promise<void> {
    this.note(entry);
    return Promise.resolve();
  }

  note(entry: AuditEntry): void {
    this.entries.push(entry);
    for (const waiting of this.#waiting.filter(({ type }) => type === entry.type)) waiting.resolve(entry);
    this.#waiting = this.#waiting.filter(({ type }) => type !== entry.type);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  of(type: string): AuditEntry[] {
    return this.entries.filter((entry) => entry.type === type);
  }

  /** The next entry of this type from now on. */
  next(type: string): Promise<AuditEntry> {
    return new Promise((resolve) => this.#waiting.push({ type, resolve }));
  }
}

export interface Bench {
  readonly gateway: Gateway;
  readonly tokens: FakeTokens;
  readonly signIn: FakeSignIn;
  readonly audit: FakeAudit;
  readonly log: { readonly level: string; readonly fields: LogFields; readonly message: string }[];
  readonly meter: {
    opened: number;
    closed: number;
    readonly signIns: string[];
    readonly limits: string[];
    readonly moves: string[];
    reused: number;
    bytes: number;
  };
  /** Gives the gateway another certificate. */
  replaceCertificate(pair: { cert: string; key: string }): void;
  /** A client of listener number `index`, greeting unread. */
  client(index?: number): Promise<Client>;
  close(): Promise<void>;
}

export async function startBench(
  authority: Certificates,
  listeners: readonly Partial<ListenerConfig>[],
  providers: readonly Pick<FakeProvider, 'endpoint'>[],
  options: {
    readonly limits?: Partial<GatewayLimits>;
    readonly clock?: Clock;
    readonly deps?: Partial<GatewayDeps>;
  } = {},
): Promise<Bench> {
  const tokens = new FakeTokens();
  for (const { endpoint } of providers) tokens.endpoints[endpoint.protocol] = endpoint;
  const signIn = new FakeSignIn();
  const audit = new FakeAudit();
  const log: Bench['log'] = [];
  const meter: Bench['meter'] = { opened: 0, closed: 0, signIns: [], limits: [], moves: [], reused: 0, bytes: 0 };
  let pair = await authority.issue();
  let changed: (() => void) | undefined;
  const write =
    (level: string) =>
    (fields: LogFields, message: string): void =>
      void log.push({ level, fields, message });
  const logging: Log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => logging,
  };
  const gateway = await startGateway(
    listeners.map((listener) => ({ protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 0, ...listener })),
    { drainMs: 200, ...options.limits },
    {
      signIn,
      tokens,
      audit,
      log: logging,
      clock: options.clock ?? systemClock,
      meter: {
        connectionOpened: () => void (meter.opened += 1),
        connectionClosed: () => void (meter.closed += 1),
        signIn: (protocol, outcome, code) => void meter.signIns.push(`${protocol} ${outcome} ${code}`),
        sessionEnded: (_protocol, down, up) => void (meter.bytes += down + up),
        sessionMoved: (cause) => void meter.moves.push(cause),
        sessionReused: () => void (meter.reused += 1),
        refusedByLimit: (limit) => void meter.limits.push(limit),
      },
      certificate: {
        read: () => pair,
        onChange(callback) {
          changed = callback;
          return { stop: () => (changed = undefined) };
        },
      },
      hostname: 'gate.example',
      ...options.deps,
    },
  );
  const clients: Client[] = [];
  return {
    gateway,
    tokens,
    signIn,
    audit,
    log,
    meter,
    replaceCertificate(next) {
      pair = next;
      changed?.();
    },
    async client(index = 0) {
      const { port, tls } = gateway.addresses[index]!;
      const client = await Client.open(port, tls === 'implicit' ? authority.ca : undefined);
      clients.push(client);
      return client;
    },
    async close() {
      for (const client of clients) client.destroy();
      await gateway.drain();
    },
  };
}

/** A mail program reduced to lines. */
export class Client {
  readonly conn: Conn;

  constructor(socket: Socket) {
    this.conn = new Conn(socket, { idleMs: 5000 });
  }

  static async open(port: number, ca?: string): Promise<Client> {
    const socket =
      ca === undefined
        ? connectTcp(port, '127.0.0.1')
        : connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca });
    await once(socket, ca === undefined ? 'connect' : 'secureConnect');
    socket.setNoDelay(true);
    return new Client(socket);
  }

  async send(...lines: readonly string[]): Promise<void> {
    await this.conn.write(lines.map((line) => `${line}\r\n`).join(''));
  }

  /** The next line; `<end>` when the gateway has closed. */
  async line(): Promise<string> {
    return (await this.conn.line(1 << 20))?.toString() ?? '<end>';
  }

  /** Lines until one matches, that one included. */
  async until(pattern: RegExp): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      lines.push(line);
      if (pattern.test(line) || line === '<end>') return lines;
    }
  }

  /** Sends a line and reads until the pattern matches; the last line. */
  async ask(line: string, pattern: RegExp): Promise<string> {
    await this.send(line);
    return (await this.until(pattern)).at(-1)!;
  }

  async startTls(ca: string): Promise<void> {
    await this.conn.upgrade(async (plain) => {
      const socket = connectTls({ socket: plain, servername: 'localhost', ca });
      await once(socket, 'secureConnect');
      return socket;
    });
  }

  destroy(): void {
    this.conn.destroy();
  }
}
