/** Real `serve` processes on one home, to be started, disturbed and ended by tests, and gone with them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import type { Home } from './installation.ts';
import { ALICE } from './mail-site.ts';
import { privateFolder } from './process.ts';
import { RunningServe, signIn } from './running-serve.ts';
import { sandboxHome } from './sandbox-home.ts';

/** One IMAP port in plain text and a console, on ports that are free. */
export const PLAIN = {
  listeners: [{ protocol: 'imap', tls: 'none', port: 0 }],
  console: { port: 0 },
  limits: { drainMs: 20_000 },
};

export class ServeBed {
  readonly sandbox: Sandbox;
  readonly home: Home;
  readonly scratch = privateFolder();
  readonly #running = new Set<RunningServe>();
  #files = 0;

  private constructor(sandbox: Sandbox, home: Home) {
    this.sandbox = sandbox;
    this.home = home;
  }

  static async open(): Promise<ServeBed> {
    const sandbox = await startSandbox();
    return new ServeBed(sandbox, await sandboxHome(sandbox));
  }

  async close(): Promise<void> {
    for (const one of this.#running) if (one.over === undefined) await one.kill();
    this.home.remove();
    await this.sandbox.close();
    this.scratch.remove();
  }

  /** Writes a configuration file; its path. */
  config(settings: object): string {
    const path = join(this.scratch.path, `${(this.#files += 1)}.yaml`);
    writeFileSync(path, JSON.stringify(settings));
    return path;
  }

  start(
    settings: object | string = PLAIN,
    env: Readonly<Record<string, string>> = {},
    wrapper: readonly string[] = [],
  ): RunningServe {
    const path = typeof settings === 'string' ? settings : this.config(settings);
    const one = new RunningServe(this.home.path, path, [], env, wrapper);
    this.#running.add(one);
    return one;
  }

  alice(port: number): ReturnType<typeof signIn> {
    return signIn(port, ALICE, this.home.password);
  }
}
