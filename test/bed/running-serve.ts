/** `postern serve` as a supervisor sees it: what it says, what its pages say, its workers, how it ends. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChildProcess, spawn } from 'node:child_process';
import { COMMAND } from './postern.ts';
import { INHERITED } from './process.ts';
import { Wire } from './wire.ts';
import { z } from 'zod';
import { said } from './said.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
}

export class RunningServe {
  readonly child: ChildProcess;
  /** Resolves when it is gone. */
  readonly ended: Promise<Ended>;
  #stdout = '';
  #log = '';
  #over: Ended | undefined;
  imap = 0;
  console = 0;

  /** @param wrapper put in front of the command, such as `prlimit --nofile=120` */
  constructor(
    home: string,
    config: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    wrapper: readonly string[] = [],
  ) {
    const [program, ...rest] = [...wrapper, process.execPath, ...COMMAND, '--json', 'serve', ...args];
    this.child = spawn(program!, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...INHERITED, HOME: home, POSTERN_HOME: home, POSTERN_CONFIG: config, POSTERN_LOG_FORMAT: 'json', ...env },
    });
    this.child.stdout!.on('data', (piece: Buffer) => void (this.#stdout += piece.toString()));
    this.child.stderr!.on('data', (piece: Buffer) => void (this.#log += piece.toString()));
    this.ended = once(this.child, 'exit').then(([code, signal]) => {
      this.#over = { code: code as number | null, signal: signal as string | null };
      process.off('exit', this.#kill);
      return this.#over;
    });
    process.once('exit', this.#kill);
  }

  readonly #kill = (): void => void this.child.kill('SIGKILL');

  get pid(): number {
    return this.child.pid!;
  }

  get log(): string {
    return this.#log;
  }

  get over(): Ended | undefined {
    return this.#over;
  }

  /** Waits until it serves. @throws when it ends first */
  async ready(ms = 40_000): Promise<this> {
    await until(
      'it serves',
      () => this.#stdout.includes('\n') || this.#over !== undefined,
      ms,
      () => this.#log,
    );
    if (!this.#stdout.includes('\n')) throw new Error(`serve ended with ${JSON.stringify(this.#over)}:\n${this.#log}`);
    const facts = said(this.#stdout.slice(0, this.#stdout.indexOf('\n')), {
      listeners: z.array(z.object({ port: z.number() })),
      console: z.object({ port: z.number() }),
    });
    this.imap = facts.listeners[0]!.port;
    this.console = facts.console.port;
    return this;
  }

  /** Ids of the workers that run, also of those that are stopped. */
  workers(): number[] {
    const text = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  }

  async page(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const answer = await fetch(`http://127.0.0.1:${this.console}${path}`, { signal: AbortSignal.timeout(10_000) });
    return { status: answer.status, text: await answer.text() };
  }

  async isReady(): Promise<boolean> {
    return (await this.page('/readyz')).status === 200;
  }

  /** The value of a metric, all its labels together. */
  async metric(name: string): Promise<number> {
    const { text } = await this.page('/metrics');
    const rows = text.split('\n').filter((row) => row.startsWith(`${name}{`) || row.startsWith(`${name} `));
    return rows.reduce((sum, row) => sum + Number(row.slice(row.lastIndexOf(' ') + 1)), 0);
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** SIGTERM; how it ended. @throws when it takes longer */
  async stop(ms = 20_000): Promise<Ended> {
    this.signal('SIGTERM');
    return this.within(ms);
  }

  /** How it ends by itself. @throws when that takes longer */
  async within(ms: number): Promise<Ended> {
    await until(
      'it ends',
      () => this.#over !== undefined,
      ms,
      () => this.#log,
    );
    return this.#over!;
  }

  async kill(): Promise<void> {
    this.#kill();
    await this.ended;
  }
}

/** Waits until something holds. @throws with what was waited for, and what is known of it */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  ms: number,
  known: () => string = () => '',
): Promise<void> {
  for (const end = performance.now() + ms; !(await holds()); await delay(25))
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms\n${known().slice(-6000)}`);
}

export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const done = (open: boolean) => (): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', done(true)).once('error', done(false));
  });
}

/** One sign-in as a program does it: `OK`, what was answered instead, or how the connection failed. */
export async function signIn(
  port: number,
  user: string,
  password: string,
  ms = 8000,
): Promise<{ readonly answer: string; readonly wire: Wire | undefined }> {
  let wire: Wire | undefined;
  try {
    wire = await Wire.open({ host: '127.0.0.1', port });
    await wire.until(/^\* OK .*\r\n/, ms);
    wire.send(`a1 LOGIN ${user} ${password}\r\n`);
    const answer = /^a1 (.*)/m.exec(await wire.until(/^a1 .*\r\n/m, ms))![1]!;
    return { answer: answer.startsWith('OK') ? 'OK' : answer.trim(), wire };
  } catch (error) {
    wire?.destroy();
    return {
      answer: `broken: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`,
      wire: undefined,
    };
  }
}
