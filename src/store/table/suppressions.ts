import { foldCase } from '../../base/case.ts';
import { CompiledQuery } from 'kysely';
import type { Engine } from '../engine.ts';
import type { SuppressionRow } from '../schema.ts';
import type { Suppression, SuppressionTable } from '../types-api.ts';
import { rowsOf } from './rows.ts';

/** Parameters of one statement stay well below what either engine takes. */
const ASKED_AT_ONCE = 500;

export function suppressionTable(engine: Engine): SuppressionTable {
  const { read, write } = engine;
  const rows = rowsOf(engine, 'suppressions', { topic: 'suppressions' });
  return {
    put: (row) =>
      write('suppressions', async (trx) => {
        const address = foldCase(row.address);
        const mailbox = foldCase(row.mailbox);
        const facts = { reason: row.reason, note: row.note ?? null, created_at: row.createdAt };
        const added = await trx
          .insertInto('suppressions')
          .values({ address, mailbox, ...facts })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst();
        const isNew = (added.numInsertedOrUpdatedRows ?? 0n) > 0n;
        if (!isNew) await rows.updateIn(trx, { address, mailbox }, facts);
        return { result: isNew, changed: true };
      }),
    match: (mailbox, addresses) =>
      read(async (db) => {
        const found: Suppression[] = [];
        for (let from = 0; from < addresses.length; from += ASKED_AT_ONCE) {
          const some = addresses.slice(from, from + ASKED_AT_ONCE).map((address) => foldCase(address));
          const query = CompiledQuery.raw(matchText(engine, some.length), ['*', foldCase(mailbox), ...some]);
          found.push(...(await db.executeQuery<SuppressionRow>(query)).rows.map(rows.from));
        }
        return found;
      }),
    list: ({ mailboxes, address, after, limit }) =>
      read(async (db) => {
        let all = db.selectFrom('suppressions').selectAll().orderBy('address').orderBy('mailbox').limit(limit);
        if (mailboxes) all = all.where('mailbox', 'in', [...mailboxes]);
        if (address !== undefined) all = all.where('address', '=', foldCase(address));
        if (after) {
          all = all.where((eb) =>
            eb.or([
              eb('address', '>', after.address),
              eb.and([eb('address', '=', after.address), eb('mailbox', '>', after.mailbox)]),
            ]),
          );
        }
        return (await all.execute()).map(rows.from);
      }),
    remove: (address, mailbox) => rows.remove({ address: foldCase(address), mailbox: foldCase(mailbox) }),
  };
}

/** Asked for every recipient of every message: the text is made once per number of addresses. */
const texts = new Map<string, string>();

function matchText({ name }: Engine, count: number): string {
  const key = `${name} ${count}`;
  let text = texts.get(key);
  if (text === undefined) {
    const place = (at: number): string => (name === 'postgres' ? `$${at}` : '?');
    const addresses = Array.from({ length: count }, (_, at) => place(at + 3)).join(', ');
    text = `SELECT * FROM suppressions WHERE mailbox IN (${place(1)}, ${place(2)}) AND address IN (${addresses})`;
    texts.set(key, text);
  }
  return text;
}
