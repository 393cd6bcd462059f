/** What every server of the bed needs: a short private folder, free ports, a child process that is watched and ended. */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What every program started here has of this process's environment: nothing that would make a test depend on who runs it. */
export const INHERITED: Readonly<Record<string, string | undefined>> = {
  PATH: process.env.PATH,
  // Node keeps compiled sources there: half of what a short command costs.
  ...(process.env.NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
};

/** A private folder directly under /tmp: UNIX socket paths hold 107 characters, and servers add their own. */
export function privateFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync('/tmp/pt-');
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) };
}

/**
 * Ports below those the system hands out by itself (32768 and up, `ip_local_port_range`): what somebody asks port 0 for,
 * or a connection leaves from, never is one of them. Each process begins at a place of its own and goes round.
 */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;
const PORTS_OF_A_PROCESS = 32;
let next = FIRST_PORT + ((process.pid * PORTS_OF_A_PROCESS) % (LAST_PORT - FIRST_PORT));

/** `count` different ports that are free. Whoever uses them must cope with losing one to somebody else, which is rare. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried++) {
    if (tried > LAST_PORT - FIRST_PORT) throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT}`);
    const port = next;
    next = next === LAST_PORT ? FIRST_PORT : next + 1;
    if (await bindable(port)) ports.push(port);
  }
  return ports;
}

function bindable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** A server process of the bed. */
export interface Daemon {
  readonly child: ChildProcess;
  /** Everything it wrote to stdout and stderr so far. */
  output(): string;
  /** True while it runs. */
  readonly running: boolean;
  /** SIGTERM, then SIGKILL after `graceMs`; SIGKILL at once for 0. Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
}

export function startDaemon(program: string, args: readonly string[], options: SpawnOptions = {}): Daemon {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let output = '';
  let running = true;
  const collect = (piece: Buffer): void => void (output += piece.toString());
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const gone = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      output += `\n${error.message}`;
      running = false;
      resolve();
    });
    child.once('exit', () => {
      running = false;
      // Its last words come after it ended; what it left running may hold the pipes open.
      void Promise.race([once(child, 'close'), delay(1000, undefined, { ref: false })]).then(() => resolve());
    });
  });
  // A test that dies must not leave servers behind.
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  return {
    child,
    output: () => output,
    get running() {
      return running;
    },
    async stop(graceMs = 5000) {
      process.off('exit', kill);
      if (running) {
        if (graceMs > 0) {
          child.kill('SIGTERM');
          await Promise.race([gone, delay(graceMs, undefined, { ref: false })]);
        }
        if (running) child.kill('SIGKILL');
      }
      await gone;
    },
  };
}

/** Waits until every port accepts connections; fails with what the daemon said when it ends first or takes `ms`. */
export async function listening(
  daemon: Daemon,
  ports: readonly number[],
  ms = 15_000,
  log = daemon.output,
): Promise<void> {
  const end = performance.now() + ms;
  for (const port of ports)
    while (!(await accepts(port))) {
      if (!daemon.running) throw new Error(`the server ended before it listened on ${port}:\n${log()}`);
      if (performance.now() > end) throw new Error(`nothing listens on port ${port} after ${ms} ms:\n${log()}`);
      await delay(20);
    }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Runs `start` again with other ports when it lost one to another process. */
export async function withFreePorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePorts(count));
    } catch (error) {
      if (attempt === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

/** What a program that ran to its end left. */
export interface Finished {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** Exit codes that are no failure. */
  readonly accept?: readonly number[];
}

/** Runs a program to its end. @throws with what it said, when it fails or takes too long */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const { input = '', timeoutMs = 60_000, accept = [0] } = options;
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: { ...INHERITED, LANG: 'C.UTF-8', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (piece: Buffer) => stdout.push(piece));
  child.stderr.on('data', (piece: Buffer) => stderr.push(piece));
  // A program may end without reading its input; what matters then is its exit code.
  child.stdin.on('error', () => child.stdin.destroy());
  child.stdin.end(input);
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const finished = { code: code ?? -1, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
  if (accept.includes(finished.code)) return finished;
  const how = signal ? `was ended by ${signal} after ${timeoutMs} ms at most` : `ended with ${String(code)}`;
  throw new Error(
    `${program} ${how}\n${finished.stderr.slice(-4000)}\n${finished.stdout.subarray(0, 2000).toString()}`.trimEnd(),
  );
}
