/** `postern sandbox --gateway` as a process of its own: the demonstration, used as a test site. */
import { setTimeout as delay } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import type { Address, Door } from '../interop/client.ts';
import { openDesk } from './command-desk.ts';
import { startPostern } from './postern.ts';
import { type Finished, privateFolder, type RunOptions } from './process.ts';

/** What the first line of `postern sandbox --json` says. */
export interface SandboxFacts {
  readonly authority: string;
  readonly ca: string;
  readonly graph: string;
  /** Where faults are set and time is moved from outside. */
  readonly control: string;
  readonly tenant: Readonly<Record<'imap' | 'pop3' | 'smtp', Address & { readonly tls: 'implicit' | 'starttls' }>>;
  readonly gateway: Readonly<Record<'imap' | 'imaps' | 'pop3' | 'pop3s' | 'smtp' | 'smtps', Address>>;
  readonly console: Address;
  /** Of the gateway. */
  readonly home: string;
  readonly mailboxes: readonly { readonly address: string; readonly password: string }[];
}

export interface SandboxGateway {
  readonly facts: SandboxFacts;
  readonly caPem: string;
  /** alice's way in. */
  readonly door: Door;
  readonly pid: number;
  readonly running: boolean;
  output(): string;
  /** Runs another command against the same home. */
  cli: (args: readonly string[], options?: RunOptions) => Promise<Finished>;
  stop(): Promise<void>;
}

export async function startSandboxGateway(args: readonly string[] = []): Promise<SandboxGateway> {
  const folder = privateFolder();
  const daemon = startPostern(folder.path, ['sandbox', '--gateway', '--json', '--port', '0', ...args]);
  const desk = openDesk();
  const stop = async (): Promise<void> => {
    desk.close();
    await daemon.stop();
    folder.remove();
  };
  const facts = await firstLine(daemon).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const alice = facts.mailboxes.find((mailbox) => mailbox.address.startsWith('alice@'));
  if (!alice) throw new Error(`the sandbox has no mailbox for alice: ${JSON.stringify(facts)}`);
  const pid = daemon.child.pid!;
  return {
    facts,
    caPem: readFileSync(facts.ca, 'utf8'),
    door: { ...facts.gateway, caPath: facts.ca, user: alice.address, password: alice.password },
    pid,
    get running() {
      return daemon.running;
    },
    output: daemon.output,
    cli: (more, options) => desk.postern(facts.home, more, options),
    stop,
  };
}

async function firstLine(daemon: ReturnType<typeof startPostern>): Promise<SandboxFacts> {
  let text = '';
  daemon.child.stdout!.on('data', (piece: Buffer) => void (text += piece.toString()));
  for (const end = performance.now() + 30_000; !text.includes('\n'); await delay(20)) {
    if (!daemon.running) throw new Error(`the sandbox ended before it was ready:\n${daemon.output()}`);
    if (performance.now() > end) throw new Error(`the sandbox is not ready after 30 s:\n${daemon.output()}`);
  }
  return JSON.parse(text.slice(0, text.indexOf('\n'))) as SandboxFacts;
}
