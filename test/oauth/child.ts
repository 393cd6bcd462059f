/** One gateway process for the renewal tests: its store is the parent's, asked over IPC, so that it survives a SIGKILL here. */
import { systemClock } from '../../src/base/clock.ts';
import { asError } from '../../src/base/error.ts';
import { nullLog } from '../../src/base/log.ts';
import { openTokenSource } from '../../src/oauth/token-source.ts';
import type { Mailbox, Store } from '../../src/store/types.ts';
import { plainVault } from './fixture.ts';

export interface ChildJob {
  readonly mailbox: Mailbox;
  readonly calls: number;
  /** Dies by SIGKILL when a renewal gets here. */
  readonly dieAt: string | undefined;
}

const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
let sent = 0;

const table = (name: string): never =>
  new Proxy(
    {},
    {
      get:
        (_target, method) =>
        (...args: unknown[]) => {
          const id = (sent += 1);
          process.send?.({ type: 'call', id, table: name, method, args });
          return new Promise<never>((resolve, reject) => waiting.set(id, { resolve, reject }));
        },
    },
  ) as never;

const store = {
  grants: table('grants'),
  applications: table('applications'),
  leases: table('leases'),
  watch: () => ({ stop: () => undefined }),
} as Partial<Store> as Store;

process.on(
  'message',
  (message: { type: 'result'; id: number; value?: never; error?: string } | { type: 'job'; job: ChildJob }) => {
    if (message.type === 'job') {
      void run(message.job);
      return;
    }
    const call = waiting.get(message.id);
    if (message.error === undefined) call?.resolve(message.value as never);
    else call?.reject(new Error(message.error));
  },
);

async function run(job: ChildJob): Promise<void> {
  const source = openTokenSource({
    store,
    vault: plainVault(),
    clock: systemClock,
    log: nullLog,
    emit: () => undefined,
    atStep: (step) => {
      if (step === job.dieAt) process.kill(process.pid, 'SIGKILL');
    },
  });
  const outcomes = await Promise.allSettled(
    Array.from({ length: job.calls }, () => source.accessToken(job.mailbox, 'imap')),
  );
  const tokens = outcomes.map((o) =>
    o.status === 'fulfilled' ? o.value.value.reveal() : `failed: ${asError(o.reason).message}`,
  );
  await source.close();
  process.send?.({ type: 'done', tokens }, () => process.disconnect());
}

process.send?.({ type: 'ready' });
