import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addMailboxes, SHOP } from '../../../test/bed/api.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { openStore } from '../../store/open.ts';
import type { Store } from '../../store/types.ts';
import { withKnownRows } from './known-rows.ts';
import { editMailbox } from '../../store/edit.ts';

let real: Store;
let asked = 0;
const clock = new ManualClock();
before(async () => {
  real = await openStore('sqlite::memory:', { clock });
  await addMailboxes(real, clock.now());
  const { opened } = real.mailboxes;
  Object.assign(real.mailboxes, { opened: (address: string) => (asked++, opened(address)) });
});
after(() => real.close());

test('a mailbox is read once, until it changes or two seconds pass', async () => {
  const known = withKnownRows(real, clock);
  const find = () => known.store.mailboxes.opened(SHOP.toUpperCase());
  await find();
  await find();
  assert.equal(asked, 1);
  await editMailbox(real, SHOP, () => ({ outgoing: 'outbox' }));
  assert.deepEqual((await find())?.settings, { outgoing: 'outbox' });
  await clock.advance(2000);
  await find();
  assert.equal(asked, 3);
  await known.store.mailboxes.opened('nobody@contoso.test');
  await known.store.mailboxes.opened('nobody@contoso.test');
  assert.equal(asked, 5, 'one that is not there may come any moment');
  await real.mailboxes.remove(SHOP);
  assert.equal(await find(), undefined);
  known.stop();
});
