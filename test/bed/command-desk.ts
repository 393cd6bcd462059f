/**
 * Commands run one after the other in a process that has everything loaded, by the function that `postern` itself runs: a
 * process for each spends a second of CPU on loading. What depends on the process (its input, its folder, Node's own
 * environment, its end) gets one of its own from postern.ts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { postern } from './postern.ts';
import { type Finished, INHERITED, type RunOptions } from './process.ts';

export interface DeskOrder {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Both outputs in base64. */
export interface DeskAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** As `postern` in postern.ts. */
type Postern = (home: string, args: readonly string[], options?: RunOptions) => Promise<Finished>;

export interface CommandDesk {
  readonly postern: Postern;
  close(): void;
}

const PROGRAM = join(import.meta.dirname, 'command-desk-program.ts');
const PATIENCE_MS = 60_000;

export function openDesk(): CommandDesk {
  let child: ChildProcess | undefined;
  let before: Promise<unknown> = Promise.resolve();

  const ask = async (order: DeskOrder, ms: number): Promise<DeskAnswer> => {
    child ??= fork(PROGRAM, { execArgv: ['--disable-warning=ExperimentalWarning'], env: { ...INHERITED } });
    const asked = child;
    const answered = new AbortController();
    const signal = AbortSignal.any([AbortSignal.timeout(ms), answered.signal]);
    asked.send(order);
    try {
      const first = await Promise.race([
        once(asked, 'message', { signal }) as Promise<[DeskAnswer]>,
        once(asked, 'exit', { signal }).then(([code, by]) => {
          throw new Error(`postern ${order.args.join(' ')} ended its process: ${String(by ?? code)}`);
        }),
      ]);
      return first[0];
    } catch (error) {
      asked.kill('SIGKILL');
      child = undefined;
      throw error;
    } finally {
      answered.abort();
    }
  };
  return {
    async postern(home, args, options = {}) {
      if (needsProcess(options)) return postern(home, args, options);
      const env = { ...INHERITED, LANG: 'C.UTF-8', HOME: home, POSTERN_HOME: home, ...options.env } as DeskOrder['env'];
      const turn = before.then(() => ask({ args, env }, options.timeoutMs ?? PATIENCE_MS));
      before = turn.catch(() => undefined);
      const { code, ...said } = await turn;
      const stdout = Buffer.from(said.stdout, 'base64');
      const stderr = Buffer.from(said.stderr, 'base64').toString();
      if ((options.accept ?? [0]).includes(code)) return { code, stdout, stderr };
      throw new Error(`postern ${args.join(' ')} ended with ${code}\n${stderr}\n${stdout.toString().slice(0, 2000)}`);
    },
    close() {
      child?.kill();
      child = undefined;
    },
  };
}

/** Read by Node, or by what is loaded, before any command begins. */
const EARLY = /^NODE_|_PROXY$/;

const needsProcess = ({ input, cwd, env = {} }: RunOptions): boolean =>
  input !== undefined || cwd !== undefined || Object.keys(env).some((name) => EARLY.test(name));
