import { sql, type Transaction } from 'kysely';
import type { Engine } from '../engine.ts';
import type { LeaseRow, Schema } from '../schema.ts';
import type { Lease, LeaseTable } from '../types.ts';

/** A row stays when its lease is released, so that the fence keeps growing. */
export function leaseTable(engine: Engine): LeaseTable {
  const { read, leaseTime } = engine;
  return {
    // One statement, so no transaction is needed: both engines settle a race on the row itself.
    acquire: (name, owner, ms) =>
      read(async (db) =>
        lease(
          await db
            .insertInto('leases')
            .values({ name, owner, fence: 1, until: sql<number>`${leaseTime()} + ${sql.lit(ms)}` })
            .onConflict((conflict) =>
              conflict
                .column('name')
                .doUpdateSet((eb) => ({
                  owner: eb.ref('excluded.owner'),
                  fence: sql<number>`leases.fence + 1`,
                  until: eb.ref('excluded.until'),
                }))
                // A lease that stands further ahead than any is taken for was dated by a clock that ran ahead: it is void.
                .where((eb) =>
                  eb.or([
                    eb('leases.until', '<=', leaseTime()),
                    eb('leases.until', '>', sql<number>`${leaseTime()} + ${sql.lit(LONGEST_LEASE_MS)}`),
                  ]),
                ),
            )
            .returningAll()
            .executeTakeFirst(),
        ),
      ),
    renew: ({ name, owner, fence }, ms) =>
      read(async (db) =>
        lease(
          await db
            .updateTable('leases')
            .set({ until: sql<number>`${leaseTime()} + ${sql.lit(ms)}` })
            .where('name', '=', name)
            .where('owner', '=', owner)
            .where('fence', '=', fence)
            .where('until', '>', RELEASED)
            .returningAll()
            .executeTakeFirst(),
        ),
      ),
    ahead: () =>
      read(async (db) => {
        const rows = await db
          .selectFrom('leases')
          .select('name')
          .where('until', '>', sql<number>`${leaseTime()} + ${sql.lit(LONGEST_LEASE_MS)}`)
          .execute();
        return rows.map(({ name }) => name);
      }),
    release: ({ name, owner, fence }) =>
      read(async (db) => {
        await db
          .updateTable('leases')
          .set({ until: RELEASED })
          .where('name', '=', name)
          .where('owner', '=', owner)
          .where('fence', '=', fence)
          .execute();
      }),
  };
}

/**
 * Whether the lease is still the holder's, locked until the transaction ends so that it cannot change hands before the
 * commit. A lease that ran out but was taken by nobody still counts: the fence says that no other has started, and
 * refusing would throw away a refresh token that the provider has already rotated.
 */
export async function holdsLease(
  engine: Engine,
  trx: Transaction<Schema>,
  { name, owner, fence }: Pick<Lease, 'name' | 'owner' | 'fence'>,
): Promise<boolean> {
  const query = trx
    .selectFrom('leases')
    .select('fence')
    .where('name', '=', name)
    .where('owner', '=', owner)
    .where('fence', '=', fence)
    .where('until', '>', RELEASED);
  const row = await (engine.name === 'postgres' ? query.forUpdate() : query).executeTakeFirst();
  return row !== undefined;
}

const RELEASED = 0;
/** No lease is taken for longer, with room for the clocks of several machines. */
const LONGEST_LEASE_MS = 5 * 60_000;

function lease(row: LeaseRow | undefined): Lease | undefined {
  return row && { name: row.name, owner: row.owner, fence: row.fence, until: row.until };
}
