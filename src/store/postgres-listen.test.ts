import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { without } from '../../test/bed/need.ts';
import { type Postgres, startPostgres } from '../../test/bed/postgres.ts';
import { openStore } from './open.ts';

const noPostgres = without('postgresql');
let postgres: Postgres | undefined;
before(async () => {
  if (noPostgres === false) postgres = await startPostgres();
});
after(() => postgres?.stop());

test(
  'pg 9: changes that come together are heard of with one query at a time, and none is missed',
  { skip: noPostgres },
  async () => {
    const warnings: string[] = [];
    const warned = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', warned);
    const url = await postgres!.freshDatabase();
    const [here, there] = [await openStore(url), await openStore(url)];
    const heard = new Set<string>();
    let wake: () => void = () => undefined;
    const watches = (['grants', 'mailboxes', 'outbox'] as const).map((topic) =>
      here.watch(topic, () => {
        heard.add(topic);
        wake();
      }),
    );
    await Promise.all(
      Array.from({ length: 60 }, (_, at) => there.outbox.note({ id: `${at}`, mailbox: 'alice@contoso.test' }, [])),
    );
    while (!heard.has('outbox')) await new Promise<void>((resolve) => (wake = resolve));
    for (const watch of watches) watch.stop();
    await Promise.all([here.close(), there.close()]);
    process.off('warning', warned);
    assert.deepEqual(
      warnings.filter((text) => text.includes('client.query()')),
      [],
    );
  },
);
