import { foldCase } from '../../base/case.ts';
import type { Engine } from '../engine.ts';
import { storeError } from '../errors.ts';
import { readMailboxSettings } from '../mailbox-settings.ts';
import type { Mailbox, MailboxTable } from '../types.ts';
import { rowsOf } from './rows.ts';

/** Addresses are kept and asked in lower case, whatever the caller gives. */
export function mailboxTable(engine: Engine): MailboxTable {
  const topic = 'mailboxes';
  const rows = rowsOf(engine, 'mailboxes', {
    topic,
    json: ['protocols', 'settings', 'suspended', 'tried'],
    optional: ['suspended', 'tried'],
    read: (one) => ({ ...one, settings: readMailboxSettings(one.settings) }),
  });
  return {
    insert(row) {
      const { catchAll: _, ...own } = row;
      return rows.insert({ ...own, address: foldCase(row.address) });
    },
    async update(given, change) {
      const address = foldCase(given);
      const forgotten = change.grantId === undefined ? {} : { tried: null };
      if (!(await rows.update({ address }, { ...rows.columns(change), ...forgotten, address })))
        throw storeError('store.not-found', `there is no mailbox ${address}`);
    },
    replaceSettings: (given, before, settings) =>
      engine.write(topic, async (trx) => {
        const address = foldCase(given);
        const [now] = await rows.locked(trx, { address });
        if (!now || JSON.stringify(now.settings) !== JSON.stringify(before)) return { result: false, changed: false };
        const changed = await rows.updateIn(trx, { address }, rows.columns({ settings }));
        return { result: changed, changed };
      }),
    remember: (given, tries) =>
      engine.write(undefined, async (trx) => {
        const address = foldCase(given);
        const [now] = await rows.locked(trx, { address });
        const tried = { ...now?.tried, ...tries };
        return { result: undefined, changed: await rows.updateIn(trx, { address }, rows.columns({ tried })) };
      }),
    find: (address) => rows.find({ address: foldCase(address) }),
    opened: (given) =>
      engine.read(async (db) => {
        const address = foldCase(given);
        const pattern = catchAllOf(address);
        const found = await db
          .selectFrom('mailboxes')
          .selectAll()
          .where('address', 'in', pattern === undefined ? [address] : [address, pattern])
          .execute();
        const own = found.find((row) => row.address === address);
        return own ? rows.from(own) : found[0] && openedBy(rows.from(found[0]), address);
      }),
    byGrant: (grantId) => rows.list(['address'], { grant_id: grantId }),
    list: () => rows.list(['address']),
    remove: (address) => rows.remove({ address: foldCase(address) }),
  };
}

/** `*@domain` for an address of that domain; undefined for what is no address, or a pattern itself. */
export function catchAllOf(address: string): string | undefined {
  const at = address.lastIndexOf('@');
  return at < 1 || isCatchAll(address) ? undefined : `*${address.slice(at)}`;
}

/** Whether it is `*@domain`, which stands for every address of its domain and is none itself: no user name, no sender. */
export function isCatchAll(address: string): boolean {
  return address.startsWith('*@');
}

/** The mailbox that a command can change: for an address that a catch-all mailbox opened, that one. */
export function rowOf({ address, catchAll }: Pick<Mailbox, 'address' | 'catchAll'>): string {
  return catchAll ?? address;
}

/** One address of a catch-all mailbox. */
export function openedBy(catchAll: Mailbox, address: string): Mailbox {
  return { ...catchAll, address, catchAll: catchAll.address };
}
