/** When a message is given up, and which goes first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOf as bench, DAY, HOUR, pass, refusedPort, said, sent } from '../../../test/bed/delivery-bench.ts';
import { letter } from '../../../test/bed/outbox.ts';

test('L16: of what is due the oldest goes first, also when it was put off', async (t) => {
  let putOff = true;
  const { accept, clock, start, tried } = await bench(t, (job) =>
    putOff ? said('451 4.7.1 greylisted')(job) : sent(job),
  );
  const [first] = await accept(1);
  const delivery = start();
  await delivery.idle();
  assert.equal(tried.length, 1);
  putOff = false;
  await delivery.close();
  await clock.advance(5_000);
  const later = await accept(60);
  await clock.advance(60_000);
  const second = start();
  await second.idle();
  // Three connections begin together.
  const begun = tried.slice(1, 4).map(({ id }) => id);
  assert.ok(begun.includes(first!), 'the oldest is among those that begin');
  assert.deepEqual(
    tried
      .slice(1)
      .map(({ id }) => id)
      .toSorted(),
    [first!, ...later].toSorted(),
  );
});

test('L7: stopped for three days in an outage: at least one attempt is made after both, and it arrives', async (t) => {
  let up = false;
  const { accept, bed, clock, start, tried } = await bench(t, (job) => (up ? sent(job) : refusedPort(job)));
  const ids = await accept(3);
  const first = start();
  await pass(clock, first, 10 * 60_000, 10_000);
  await first.close();
  await clock.advance(3 * DAY);
  up = true;
  const before = tried.length;
  const second = start();
  await pass(clock, second, 10 * 60_000, 10_000);
  assert.ok(tried.length > before);
  for (const id of ids) assert.equal((await bed.outbox.find(id))!.state.type, 'sent');
});

test('L7: a stop counts for nothing: afterwards there is as much time left as before', async (t) => {
  const { accept, bed, clock, start } = await bench(t, said('451 4.7.1 greylisted'));
  const [id] = await accept(1);
  const before = (await bed.outbox.find(id!))!.deadline;
  const first = start();
  await pass(clock, first, 60_000, 10_000);
  await first.close();
  await clock.advance(3 * DAY);
  const [fresh] = await accept(1);
  const own = (await bed.outbox.find(fresh!))!.deadline;
  const second = start();
  await second.idle();
  const moved = (await bed.outbox.find(id!))!.deadline - before;
  assert.ok(moved >= 3 * DAY && moved <= 3 * DAY + 60_000, `${moved}`);
  assert.equal((await bed.outbox.find(fresh!))!.deadline, own, 'what came after it had no time to lose');
  await pass(clock, second, 2 * DAY + HOUR, HOUR / 2);
  assert.equal((await bed.outbox.find(id!))!.state.type, 'failed');
});

test('L7: at the deadline a last attempt is made', async (t) => {
  let tries = 0;
  const { bed, clock, start } = await bench(t, (job) => (++tries > 1 ? sent(job) : said('451 4.7.1 greylisted')(job)));
  const { message } = await bed.outbox.accept(bed.request({ deadline: clock.now() + 5_000 }), letter());
  const delivery = start();
  await pass(clock, delivery, 10_000, 1_000);
  assert.equal((await bed.outbox.find(message.id))!.state.type, 'sent');
});
