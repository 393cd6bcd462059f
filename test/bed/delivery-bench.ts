/** Delivery on a clock moved by hand, with routes that answer what a test says, and note who tried when. */
import type { TestContext } from 'node:test';
import { MARKS, letter, openOutboxBed } from './outbox.ts';
import { ManualClock } from './manual-clock.ts';
import { nullLog } from '../../src/base/log.ts';
import type { Mailbox } from '../../src/store/types.ts';
import { type Delivery, type DeliveryDeps, startDelivery } from '../../src/outbox/deliver/delivery.ts';
import { outcomeOf, outcomeOfFailure } from '../../src/outbox/deliver/judge.ts';
import type { Outcome, Route, SendJob, SentProbe } from '../../src/outbox/deliver/types.ts';
import { errorTable } from '../../src/base/error.ts';

const unreachable = errorTable({ later: { 'gateway.provider-unreachable': 'wait' } });
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

export const sent = ({ recipients }: SendJob): Outcome => ({
  type: 'sent',
  reply: { code: 250, enhanced: '2.0.0', text: '250 2.0.0 OK' },
  recipients: recipients.map(({ address }) => ({ address, outcome: 'delivered', reply: '250 2.0.0 OK' })),
});

/** As the SMTP route judges the reply to the whole message. */
export const said =
  (text: string) =>
  ({ mailbox, message, recipients }: SendJob): Outcome =>
    outcomeOf(
      {
        type: 'refused',
        reply: { code: Number(text.slice(0, 3)), enhanced: undefined, text },
        recipients: recipients.map(() => undefined),
      },
      recipients,
      { mailbox, from: message.envelopeFrom },
    );

export const refusedPort = ({ mailbox }: SendJob): Outcome =>
  outcomeOfFailure(
    unreachable('gateway.provider-unreachable', 'nothing listens there (ECONNREFUSED)', {
      detail: { code: 'wire.unreachable', reason: 'ECONNREFUSED' },
    }),
    0,
    mailbox,
  );

interface Tried {
  readonly at: number;
  readonly id: string;
  readonly route: string;
  readonly mailbox: string;
}

export async function benchOf(
  t: TestContext,
  answer: (job: SendJob, route: string, signal: AbortSignal) => Outcome | Promise<Outcome>,
  names: readonly string[] = ['smtp'],
  endpoint: (mailbox: Mailbox) => string = () => 'smtp.test:587',
  probe?: SentProbe,
  more: Partial<Pick<DeliveryDeps, 'report' | 'suppressed' | 'limits'>> = {},
) {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  const tried: Tried[] = [];
  const lines: string[] = [];
  const note = (_: object, text?: string): void => void lines.push(String(text));
  const log = { ...nullLog, info: note, warn: note, error: note };
  const routes = names.map((name): Route => ({
    name,
    endpoint: (mailbox) => Promise.resolve(endpoint(mailbox)),
    async send(job, signal) {
      tried.push({ at: clock.now(), id: job.message.id, route: name, mailbox: job.mailbox.address });
      return answer(job, name, signal);
    },
    close: () => Promise.resolve(),
  }));
  const deliveries: Delivery[] = [];
  const start = (): Delivery => {
    const delivery = startDelivery({
      store: bed.store,
      outbox: bed.outbox,
      clock,
      log,
      owner: `me${deliveries.length}`,
      marks: MARKS,
      ...(probe ? { probe } : {}),
      limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 3 }),
      ...more,
      routes: () => Promise.resolve(routes),
    });
    deliveries.push(delivery);
    return delivery;
  };
  const accept = async (count: number, mailbox: Mailbox = bed.mailbox): Promise<readonly string[]> => {
    const ids: string[] = [];
    const envelope = { from: mailbox.address, recipients: [{ address: 'x@y.test' }] };
    for (let at = 0; at < count; at++)
      ids.push((await bed.outbox.accept(bed.request({ mailbox, envelope }), letter())).message.id);
    return ids;
  };
  t.after(async () => {
    await Promise.all(deliveries.map((delivery) => delivery.close()));
    await bed.close();
  });
  return { bed, clock, tried, lines, start, accept };
}

export async function pass(clock: ManualClock, delivery: Delivery, ms: number, step: number): Promise<void> {
  for (let done = 0; done < ms; done += step) {
    await delivery.idle();
    await clock.advance(Math.min(step, ms - done));
  }
  await delivery.idle();
}
