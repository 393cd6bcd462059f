import { foldCase } from '../../base/case.ts';
import type { Engine } from '../engine.ts';
import { storeError } from '../errors.ts';
import type { MailboxRow } from '../schema.ts';
import { readMailboxSettings } from '../mailbox-settings.ts';
import type { Mailbox, MailboxTable } from '../types.ts';
import { defined, fromJson, nullable } from './json.ts';

/** Addresses are kept and asked in lower case, whatever the caller gives. */
export function mailboxTable(engine: Engine): MailboxTable {
  const { read, write } = engine;
  return {
    insert: (row) =>
      write('mailboxes', async (trx) => {
        await trx
          .insertInto('mailboxes')
          .values({
            address: foldCase(row.address),
            grant_id: row.grantId,
            access: row.access,
            protocols: JSON.stringify(row.protocols),
            settings: JSON.stringify(row.settings),
            created_at: row.createdAt,
            suspended: row.suspended === undefined ? null : JSON.stringify(row.suspended),
          })
          .execute();
        return { result: undefined, changed: true };
      }),
    update: (given, change) =>
      write('mailboxes', async (trx) => {
        const address = foldCase(given);
        const suspended = nullable(change, 'suspended');
        const values = defined({
          suspended: suspended && JSON.stringify(suspended),
          grant_id: change.grantId,
          access: change.access,
          protocols: change.protocols && JSON.stringify(change.protocols),
        });
        const done = await trx
          .updateTable('mailboxes')
          .set({ ...values, address })
          .where('address', '=', address)
          .executeTakeFirst();
        if (done.numUpdatedRows === 0n) throw storeError('store.not-found', `there is no mailbox ${address}`);
        return { result: undefined, changed: true };
      }),
    replaceSettings: (given, before, after) =>
      write('mailboxes', async (trx) => {
        const address = foldCase(given);
        const asked = trx.selectFrom('mailboxes').selectAll().where('address', '=', address);
        const row = await (engine.name === 'postgres' ? asked.forUpdate() : asked).executeTakeFirst();
        if (!row || JSON.stringify(mailbox(row).settings) !== JSON.stringify(before))
          return { result: false, changed: false };
        await trx
          .updateTable('mailboxes')
          .set({ settings: JSON.stringify(after) })
          .where('address', '=', address)
          .execute();
        return { result: true, changed: true };
      }),
    find: (address) =>
      read(async (db) =>
        mailbox(
          await db.selectFrom('mailboxes').selectAll().where('address', '=', foldCase(address)).executeTakeFirst(),
        ),
      ),
    opened: (given) =>
      read(async (db) => {
        const address = foldCase(given);
        const pattern = catchAllOf(address);
        const rows = await db
          .selectFrom('mailboxes')
          .selectAll()
          .where('address', 'in', pattern === undefined ? [address] : [address, pattern])
          .execute();
        const own = rows.find((row) => row.address === address);
        return own ? mailbox(own) : rows[0] && openedBy(mailbox(rows[0]), address);
      }),
    byGrant: (grantId) =>
      read(async (db) =>
        (await db.selectFrom('mailboxes').selectAll().where('grant_id', '=', grantId).orderBy('address').execute()).map(
          (row) => mailbox(row),
        ),
      ),
    list: () =>
      read(async (db) =>
        (await db.selectFrom('mailboxes').selectAll().orderBy('address').execute()).map((row) => mailbox(row)),
      ),
    remove: (address) =>
      write('mailboxes', async (trx) => {
        const done = await trx.deleteFrom('mailboxes').where('address', '=', foldCase(address)).executeTakeFirst();
        return { result: done.numDeletedRows > 0n, changed: done.numDeletedRows > 0n };
      }),
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

function mailbox(row: MailboxRow): Mailbox;
function mailbox(row: MailboxRow | undefined): Mailbox | undefined;
function mailbox(row: MailboxRow | undefined): Mailbox | undefined {
  return (
    row && {
      address: row.address,
      grantId: row.grant_id,
      access: row.access as Mailbox['access'],
      protocols: fromJson(row.protocols, 'mailboxes.protocols'),
      settings: readMailboxSettings(fromJson(row.settings, 'mailboxes.settings')),
      createdAt: row.created_at,
      ...(row.suspended === null ? {} : { suspended: fromJson(row.suspended, 'mailboxes.suspended') }),
    }
  );
}
