/** Delivery on a clock that tests move, to a provider that says "later" until it is told otherwise. */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import type { ManualClock } from './manual-clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { startDelivery } from '../../src/outbox/deliver/delivery.ts';
import type { Outcome } from '../../src/outbox/deliver/types.ts';
import { MARKS, type OutboxBed } from './outbox.ts';

/** Time passes in steps, with everything done at each. */
export async function pass(clock: ManualClock, ms: number, step: number, settled: () => Promise<void>): Promise<void> {
  for (let left = ms; left > 0; left -= step) {
    await clock.advance(step);
    await settled();
  }
}

export const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

const later: Outcome = {
  type: 'later',
  code: 'outbox.deferred',
  reply: { code: 451, enhanced: undefined, text: '451 4.7.1 greylisted' },
};

/** Delivery whose provider says "later" until `open`. */
export function delivering(t: TestContext, bed: OutboxBed, clock: ManualClock) {
  const state = { open: false, tries: 0 };
  const start = () =>
    startDelivery({
      store: bed.store,
      outbox: bed.outbox,
      clock,
      log: nullLog,
      owner: randomBytes(4).toString('hex'),
      marks: MARKS,
      limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 1 }),
      routes: () =>
        Promise.resolve([
          {
            name: 'smtp',
            send({ recipients }) {
              state.tries += 1;
              if (!state.open) return Promise.resolve(later);
              const reply = { code: 250, enhanced: undefined, text: '250 OK' };
              const each = recipients.map(({ address }) => ({ address, outcome: 'delivered' as const, reply: '250' }));
              return Promise.resolve({ type: 'sent', reply, recipients: each });
            },
            close: () => Promise.resolve(),
          },
        ]),
    });
  let running = start();
  t.after(() => running.close());
  return {
    state,
    idle: () => running.idle(),
    close: () => running.close(),
    again: () => void (running = start()),
  };
}
