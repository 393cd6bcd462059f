/** Who says "now" of a message whose mailbox was found shut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { letter, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { Boxes } from './box.ts';

test('a message released after its mailbox was found shut opens it; one released before does not', async (t) => {
  const clock = new ManualClock();
  const bed = await openOutboxBed({ clock });
  t.after(bed.close);
  let tried = 0;
  const boxes = new Boxes(bed.store.outbox, { tryNow: () => void (tried += 1) });
  const { id } = (await bed.outbox.accept(bed.request(), letter())).message;
  const release = async (): Promise<void> => {
    await bed.outbox.hold(id, 'root', 'x');
    await bed.outbox.retry(id, 'root');
  };
  const { address } = bed.mailbox;
  const due = [{ mailbox: address, tenant: '' }];
  await release();
  await clock.advance(1000);
  const box = boxes.of(address);
  Object.assign(box, { waitUntil: clock.now() + 60_000, shutAt: clock.now(), rests: true });
  await boxes.letReleased(due, clock.now());
  assert.deepEqual([box.waitUntil > clock.now(), tried], [true, 0]);
  await clock.advance(1000);
  await release();
  await boxes.letReleased(due, clock.now());
  assert.deepEqual([box.waitUntil, box.shutAt, tried], [0, undefined, 1]);
});
