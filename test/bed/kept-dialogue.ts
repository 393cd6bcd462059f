/** Sessions that the gateway keeps; an SMTP or POP3 session kept by the gateway over memory; the test speaks for the program and for each server. */
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { ManualClock } from './manual-clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { keeperFor } from '../../src/gateway/continuity/keeper.ts';
import type { RelayedMessage, SmtpRules } from '../../src/gateway/continuity/smtp-message.ts';
import type { KeeperOptions } from '../../src/gateway/continuity/session-keeper.ts';
import type { UpstreamSession } from '../../src/upstream/upstream.ts';
import { relay } from '../../src/gateway/relay.ts';
import type { RelaySide } from '../../src/gateway/relay-types.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import type { Protocol } from '../../src/store/protocols.ts';
import { settle } from './kept-session.ts';
import { type MemorySocket, memoryPair } from './memory-socket.ts';

export interface Scene {
  /** Sends as the program, and as the server in use. */
  say(text: string): Promise<void>;
  reply(text: string): Promise<void>;
  /** What the program heard since the last call, and what the servers heard. */
  heard(): string;
  readonly servers: { heard: string; readonly far: MemorySocket }[];
  cut(): Promise<void>;
  refusal: Error | undefined;
  readonly over: () => boolean;
  /** What was relayed, as the audit log has it. */
  readonly relayed: RelayedMessage[];
}

/**
 * A relay with its keeper, from a program to the server it is signed in to. Its time stands still.
 * @param capabilities what every server can do
 * @param open a connection to another server
 */
export function relayKept(
  protocol: Protocol,
  program: Socket,
  server: RelaySide,
  capabilities: readonly string[],
  open: () => Promise<Conn>,
  { onEnd, ...more }: Partial<KeeperOptions> & { readonly onEnd?: () => void } = {},
): void {
  const clock = new ManualClock();
  const signedIn: UpstreamSession = {
    expiresAt: clock.now() + 3_600_000,
    mechanism: 'XOAUTH2',
    capabilities,
    reused: false,
    endpoint: { protocol, host: 'h', port: 1, tls: 'implicit', user: 'u', mechanisms: [], trust: {} },
  };
  const keeper = keeperFor(protocol, {
    clock,
    log: nullLog,
    hostname: 'gate.example',
    signedIn,
    signIn: async () => ({ ...signedIn, conn: await open() }),
    onMoved: () => undefined,
    ...more,
  });
  relay({ socket: program, rest: Buffer.alloc(0) }, server, {
    idleMs: 60_000,
    clock,
    tap: keeper,
    onEnd: () => {
      onEnd?.();
      keeper.close();
    },
  });
}

/** @param announced what every server can do */
export function scene(t: TestContext, protocol: 'smtp' | 'pop3', mail?: SmtpRules, announced = ['CHUNKING']): Scene {
  const servers: Scene['servers'] = [];
  const server = (): Conn => {
    const [near, far] = memoryPair();
    const entry = { heard: '', far };
    far.on('data', (bytes: Buffer) => void (entry.heard += bytes.toString('latin1'))).on('error', () => undefined);
    near.on('error', () => undefined);
    servers.push(entry);
    return new Conn(near);
  };
  const [near, far] = memoryPair();
  let heard = '';
  let over = false;
  far.on('data', (bytes: Buffer) => void (heard += bytes.toString('latin1'))).on('end', () => far.end());
  const scene: Scene = {
    servers,
    refusal: undefined,
    over: () => over,
    relayed: [],
    heard() {
      const text = heard;
      heard = '';
      return text;
    },
    async say(text) {
      far.write(text, 'latin1');
      await settle();
    },
    async reply(text) {
      servers.at(-1)!.far.write(text, 'latin1');
      await settle();
    },
    async cut() {
      servers.at(-1)!.far.destroy();
      await settle();
    },
  };
  const open = (): Promise<Conn> => (scene.refusal ? Promise.reject(scene.refusal) : Promise.resolve(server()));
  relayKept(protocol, near, server().detach(), announced, open, {
    onMessage: (message) => void scene.relayed.push(message),
    onEnd: () => void (over = true),
    ...(mail ? { mail } : {}),
  });
  t.after(() => {
    far.destroy();
    near.destroy();
    for (const each of servers) each.far.destroy();
  });
  return scene;
}
