import assert from 'node:assert/strict';
import { test } from 'node:test';
import { letter, MARKS, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { nullLog } from '../../base/log.ts';
import type { Mailbox } from '../../store/types.ts';
import type { DueMailbox } from '../../store/types-outbox.ts';
import { startDelivery } from './delivery.ts';
import { Turns } from './turns.ts';
import type { Route } from './types.ts';

const box = (tenant: string, mailbox: string): DueMailbox => ({ tenant, mailbox });
const crowd = Array.from({ length: 30 }, (_, number) => box('contoso', `box${String(number).padStart(2, '0')}`));

test('with one place, a tenant with one mailbox has it every second time, and all mailboxes of the other have it in turn', () => {
  const turns = new Turns();
  const had: string[] = [];
  for (let place = 0; place < 120; place++) {
    const [first] = turns.order([...crowd, box('fabrikam', 'zoe')]);
    turns.had(first!);
    had.push(first!.mailbox);
  }
  assert.equal(had.filter((one) => one === 'zoe').length, 60);
  for (const { mailbox } of crowd) assert.equal(had.filter((one) => one === mailbox).length, 2, mailbox);
});

test('everybody is in the order once, also who has no tenant any more', () => {
  const all = [...crowd, box('fabrikam', 'zoe'), box('', 'gone')];
  const order = new Turns().order(all).map(({ mailbox }) => mailbox);
  assert.deepEqual(order.toSorted(), all.map(({ mailbox }) => mailbox).toSorted());
  assert.deepEqual(order.slice(0, 3).toSorted(), ['box00', 'gone', 'zoe']);
});

test('a flood of one tenant does not hold up the other', async (t) => {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  const sent: string[] = [];
  const send: Route['send'] = async ({ message, recipients }) => {
    sent.push(message.mailbox);
    const delivered = recipients.map(({ address }) => ({ address, outcome: 'delivered' as const, reply: '250 OK' }));
    return { type: 'sent', reply: { code: 250, enhanced: '2.0.0', text: '250 OK' }, recipients: delivered };
  };
  const fill = async (mailbox: Mailbox): Promise<void> => {
    const envelope = { from: mailbox.address, recipients: [{ address: 'x@y.test' }] };
    for (let count = 0; count < 60; count++) await bed.outbox.accept(bed.request({ mailbox, envelope }), letter());
  };
  for (let number = 0; number < 20; number++) await fill(await bed.addMailbox(`box${number}@contoso.test`));
  await fill(await bed.addTenant('zoe@fabrikam.test'));
  const delivery = startDelivery({
    store: bed.store,
    outbox: bed.outbox,
    clock,
    log: nullLog,
    owner: 'me',
    marks: MARKS,
    atOnce: 2,
    limits: () => Promise.resolve({ messagesPerMinute: undefined, recipientsPerDay: undefined, connections: 2 }),
    routes: () => Promise.resolve([{ name: 'smtp', send, close: () => Promise.resolve() }]),
  });
  t.after(async () => {
    await delivery.close();
    await bed.close();
  });
  await delivery.idle();
  assert.equal(sent.length, 21 * 60);
  const last = sent.lastIndexOf('zoe@fabrikam.test');
  assert.ok(last < 420, `the small tenant was done with number ${last}`);
});
