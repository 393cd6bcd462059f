/** A database with a page of nothing in it: whoever asks whether Postern works hears of it before mail does. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { damage } from '../bed/damaged-database.ts';
import { postern } from '../bed/postern.ts';
import { until } from '../bed/running-serve.ts';
import { PLAIN, ServeBed } from '../bed/serve-bed.ts';

let bed: ServeBed;
before(async () => {
  bed = await ServeBed.open();
});
after(async () => {
  await bed?.close();
});

for (const [name, workers] of [
  ['outbox_messages', 1],
  ['outbox_events', 1],
  ['outbox_chunks', 2],
  // An index that only accepting a message and looking for it uses.
  ['outbox_message_id', 1],
] as const)
  test(`K24: ${name} is damaged: /readyz and check say so`, async () => {
    const file = join(bed.home.path, 'postern.db');
    copyFileSync(file, `${file}.whole`);
    damage(file, name);
    const checked = await postern(bed.home.path, ['check', '--installation'], { accept: [64] });
    assert.match(checked.stdout.toString(), /damaged/);
    if (name !== 'outbox_message_id') {
      const one = await bed.start({ ...PLAIN, workers }).ready();
      await until(
        'not ready',
        async () => (await one.page('/readyz')).status === 503,
        10_000,
        () => one.log,
      );
      const { problems } = JSON.parse((await one.page('/readyz')).text) as { problems: string[] };
      assert.match(problems.join(), /database file .*is damaged/);
      assert.match(one.log, /store\.damaged/);
      await one.stop();
    }
    copyFileSync(`${file}.whole`, file);
  });
