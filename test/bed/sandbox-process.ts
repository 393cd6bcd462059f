/** Starts `sandbox-program.ts` and talks to it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { SandboxOptions } from '../../src/sandbox/index.ts';
import { INHERITED } from './process.ts';
import type { SandboxFacts, SandboxOrder } from './sandbox-program.ts';

export interface SandboxProcess extends SandboxFacts {
  approve(url: string, user: string): Promise<URL>;
  deliver(to: string, raw: string): Promise<void>;
  arrived(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export async function startSandboxProcess(options: SandboxOptions): Promise<SandboxProcess> {
  const child = fork(join(import.meta.dirname, 'sandbox-program.ts'), [JSON.stringify(options)], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { ...INHERITED },
  });
  const ended = once(child, 'exit');
  const [facts] = (await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`the sandbox ended with ${String(code)}`))),
  ])) as [SandboxFacts];
  const asked = new Map<number, PromiseWithResolvers<unknown>>();
  child.on('message', ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
    const waiting = asked.get(id);
    asked.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  });
  let orders = 0;
  const ask = (order: SandboxOrder): Promise<unknown> => {
    const waiting = Promise.withResolvers<unknown>();
    asked.set((orders += 1), waiting);
    child.send({ id: orders, order });
    return waiting.promise;
  };
  return {
    ...facts,
    approve: async (url, user) => new URL((await ask({ type: 'approve', url, user })) as string),
    async deliver(to, raw) {
      await ask({ type: 'deliver', to, raw });
    },
    arrived: async () => (await ask({ type: 'arrived' })) as readonly string[],
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
