/** A tenant that can fail, a gateway in front of it and a check beside it, in one process and on the tenant's clock. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createAppPassword } from '../../src/access/app-password.ts';
import { asError, type PosternError } from '../../src/base/error.ts';
import { Secret } from '../../src/base/secret.ts';
import { nullLog } from '../../src/base/log.ts';
import { checkMailbox } from '../../src/check/mailbox.ts';
import { reportOf } from '../../src/check/step.ts';
import type { CheckReport, Finding } from '../../src/check/types.ts';
import { addApplication } from '../../src/oauth/application.ts';
import { openCircuits } from '../../src/oauth/circuit.ts';
import { connectMailbox } from '../../src/onboard/connect-mailbox.ts';
import { openHttp } from '../../src/oauth/http.ts';
import { openTokenSource } from '../../src/oauth/token-source.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { readConfig } from '../../src/server/config.ts';
import { GivenCertificate } from '../../src/server/certificate-in-use.ts';
import { composeGateway } from '../../src/server/gateway.ts';
import { homeOf, makeHome } from '../../src/server/home.ts';
import { ensureKey, type Instance, openInstance } from '../../src/server/instance.ts';
import { openMetrics } from '../../src/server/metrics.ts';
import { type Application, type Mailbox } from '../../src/store/types.ts';
import { type Protocol, PROTOCOLS } from '../../src/store/protocols.ts';
import { z } from 'zod';
import { said } from './said.ts';

/** Short enough for a test, long enough for a loaded machine. */
export const PATIENCE_MS = 4000;

/** The certificates of the tenant are good for a month of its time; a hundred faults must fit into it. */
const TOKEN_SECONDS = 600;

/** What a mail program met: the reply that was no success, or how the conversation ended. */
export type Met = { readonly type: 'works' | 'ended' | 'silent' } | { readonly type: 'reply'; readonly line: string };

export interface CheckOf {
  readonly protocols: readonly Protocol[];
  readonly timeoutMs: number;
  /** A sign-in longer than this is slow. */
  readonly slowMs: number;
  /** Fetch the newest message too. */
  readonly fetch: boolean;
}

export interface FaultBed {
  readonly sandbox: Sandbox;
  /** alice, who consented; a robot that signs in by itself; one whose servers' names do not resolve. */
  readonly mailboxes: { readonly person: Mailbox; readonly robot: Mailbox; readonly nameless: Mailbox };
  /** Asks the tenant's Graph to send mail as the robot does, and gives the code of its refusal. */
  graphCode(): Promise<string>;
  /** Consents for alice as she does it; gives why it failed. */
  consent(): Promise<PosternError | undefined>;
  /** No fault is set, alice's grant is as it should be, and the next use of it renews the token. */
  settle(): Promise<void>;
  /** Signs in as a mail program and does what programs do. */
  program(mailbox: Mailbox, protocol: Protocol): Promise<Met>;
  /** What `postern check ADDRESS` finds. */
  check(mailbox: Mailbox, options: CheckOf): Promise<CheckReport>;
  close(): Promise<void>;
}

export async function startFaultBed(): Promise<FaultBed> {
  const sandbox = await startSandbox({ tokenLifetime: TOKEN_SECONDS });
  const folder = mkdtempSync(join(tmpdir(), 'postern-faults-'));
  const instance = await openHome(sandbox, folder);
  const certificate = new GivenCertificate(sandbox.serverCertificate);
  const listeners = PROTOCOLS.map((protocol) => ({ protocol, tls: 'none' as const, host: '127.0.0.1', port: 0 }));
  const composed = await composeGateway(instance, listeners, certificate, openMetrics('test'));
  const people = await application(instance, sandbox, 'people', sandbox.clients.public.id);
  const { id, secret } = sandbox.clients.confidential;
  const robots = await application(instance, sandbox, 'robots', id, new Secret(secret));
  const [alice, bob] = [sandbox.users[0]!.address, sandbox.users[1]!.address];
  const open = (address: string, by: Application, flow: 'authorization-code' | 'client-secret') =>
    connectMailbox(instance, {
      application: by,
      address,
      protocols: PROTOCOLS,
      flow,
      ...(flow === 'client-secret'
        ? {}
        : {
            redirect: {
              uri: 'http://localhost/',
              wait: (url: string) => sandbox.approve(url, address),
              close: () => Promise.resolve(),
            },
          }),
    });
  const person = (await open(alice, people, 'authorization-code')).mailbox;
  const robot = (await open(bob, robots, 'client-secret')).mailbox;
  const lost = await application(instance, sandbox, 'lost', id, new Secret(secret), 'outlook.unresolvable.invalid');
  const nameless = (await open(sandbox.shared, lost, 'client-secret')).mailbox;
  const { password } = await createAppPassword(instance, {
    label: 'faults',
    mailboxes: ['*'],
    protocols: PROTOCOLS,
    networks: [],
  });
  const { grantId } = person;
  const consent = async (): Promise<PosternError | undefined> => {
    const outcome = await open(alice, people, 'authorization-code').catch(asError);
    return outcome instanceof Error ? outcome : undefined;
  };
  const ports = new Map(composed.gateway.addresses.map((one) => [one.protocol, one.port]));
  return {
    sandbox,
    mailboxes: { person, robot, nameless },
    graphCode: () => graphCode(sandbox, bob),
    consent,
    async settle() {
      sandbox.faults.clear();
      // The old token runs out, and so do pauses after failures.
      await sandbox.clock.advance(2 * TOKEN_SECONDS * 1000);
      if ((await instance.store.grants.find(grantId))?.state.type === 'active') return;
      const error = await consent();
      if (error) throw error;
      await sandbox.clock.advance(2 * TOKEN_SECONDS * 1000);
    },
    program: (mailbox, protocol) => converse(ports.get(protocol)!, protocol, mailbox.address, password.reveal()),
    async check(mailbox, options) {
      const findings: Finding[] = [];
      for await (const finding of checkMailbox(instance, mailbox, options)) findings.push(finding);
      return reportOf({ type: 'mailbox', address: mailbox.address }, findings, instance.clock.now());
    },
    async close() {
      sandbox.faults.clear();
      await composed.drain();
      await instance.close();
      await sandbox.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openHome(sandbox: Sandbox, folder: string): Promise<Instance> {
  const base = readConfig(homeOf({}, folder), {});
  makeHome(base.home);
  const config = { ...base, hostname: 'localhost', limits: { ...base.limits, upstreamMs: PATIENCE_MS, drainMs: 0 } };
  await ensureKey(config);
  const instance = await openInstance({ config, clock: sandbox.clock });
  // A token request that nobody answers must not take the default half minute.
  const { store, vault, clock, emit } = instance;
  const circuits = openCircuits(clock);
  const tokens = openTokenSource({ store, vault, clock, log: nullLog, emit, circuits, timeoutMs: PATIENCE_MS });
  return {
    ...instance,
    tokens,
    async close() {
      await tokens.close();
      await instance.close();
    },
  };
}

function application(
  instance: Instance,
  sandbox: Sandbox,
  name: string,
  clientId: string,
  secret?: Secret,
  host = 'localhost',
): Promise<Application> {
  const trusted = { ca: sandbox.caPem };
  const { imap, pop3, smtp } = sandbox.mail;
  return addApplication(instance, {
    name,
    provider: 'microsoft',
    clientId,
    tenant: sandbox.tenantId,
    settings: {
      authority: sandbox.authority,
      ca: sandbox.caPem,
      imap: { ...imap, host, ...trusted },
      pop3: { ...pop3, host, ...trusted },
      smtp: { ...smtp, host, ...trusted },
    },
    ...(secret === undefined ? {} : { credential: { type: 'secret', secret } }),
  });
}

async function graphCode(sandbox: Sandbox, address: string): Promise<string> {
  const http = openHttp({ ca: sandbox.caPem });
  try {
    const { id, secret } = sandbox.clients.confidential;
    const asked = await http.request(`${sandbox.authority}/oauth2/v2.0/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: id,
        client_secret: secret,
        scope: 'https://graph.microsoft.com/.default',
      }).toString(),
    });
    const { access_token: token } = said(await asked.text(), { access_token: z.string() });
    const answer = await http.request(`${sandbox.graph}/v1.0/users/${address}/sendMail`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        message: {
          subject: 'x',
          toRecipients: [{ emailAddress: { address } }],
          body: { contentType: 'text', content: 'x' },
        },
      }),
    });
    if (answer.status < 400) return 'sent';
    return said(await answer.text(), { error: z.object({ code: z.string() }) }).error.code;
  } finally {
    await http.close();
  }
}

/** Lines a program sends, and what must come back for the next one. */
function script(
  protocol: Protocol,
  address: string,
  password: string,
): readonly (readonly [send: string, success: RegExp])[] {
  switch (protocol) {
    case 'imap':
      return [
        ['', /^\* OK/],
        [`a LOGIN ${address} ${password}`, /^a OK/],
        ['b SELECT INBOX', /^b OK/],
        ['c FETCH 1:* (UID FLAGS)', /^c OK/],
      ];
    case 'pop3':
      return [
        ['', /^\+OK/],
        [`USER ${address}`, /^\+OK/],
        [`PASS ${password}`, /^\+OK/],
        ['STAT', /^\+OK/],
      ];
    case 'smtp':
      return [
        ['', /^220 /],
        ['EHLO program.test', /^250 /],
        [`AUTH PLAIN ${Buffer.from(`\0${address}\0${password}`).toString('base64')}`, /^235 /],
        [`MAIL FROM:<${address}>`, /^250 /],
        [`RCPT TO:<${address}>`, /^250 /],
        ['DATA', /^354 /],
        [`From: ${address}\r\nTo: ${address}\r\nSubject: fault\r\n\r\nhello\r\n.`, /^250 /],
      ];
  }
}

/** A reply that ends a command, whatever its outcome. */
const FINAL: Readonly<Record<Protocol, RegExp>> = {
  imap: /^(?:[abc] (?:OK|NO|BAD)|\* (?:BYE|OK \S+ .*ready|OK .*IMAP)|(?![*+abc] ).+)/,
  pop3: /^[+-]/,
  smtp: /^\d{3} /,
};

async function converse(port: number, protocol: Protocol, address: string, password: string): Promise<Met> {
  const lines = new Lines(connect(port, '127.0.0.1'));
  try {
    for (const [send, success] of script(protocol, address, password)) {
      if (send !== '') lines.send(`${send}\r\n`);
      const line = await lines.next(FINAL[protocol], 2 * PATIENCE_MS);
      if (line === 'ended' || line === 'silent') return { type: line };
      if (!success.test(line)) return { type: 'reply', line };
    }
    return { type: 'works' };
  } finally {
    lines.close();
  }
}

class Lines {
  readonly #socket: Socket;
  #text = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1').on('data', (piece) => void (this.#text += String(piece)));
    socket.on('error', () => socket.destroy());
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  async next(wanted: RegExp, ms: number): Promise<string> {
    for (const end = performance.now() + ms; performance.now() < end; await delay(5)) {
      for (let at = this.#text.indexOf('\r\n'); at >= 0; at = this.#text.indexOf('\r\n')) {
        const line = this.#text.slice(0, at);
        this.#text = this.#text.slice(at + 2);
        if (wanted.test(line)) return line;
      }
      if (this.#socket.closed || this.#socket.readableEnded) return 'ended';
    }
    return 'silent';
  }

  close(): void {
    this.#socket.destroy();
  }
}
