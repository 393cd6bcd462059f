import { type Insertable, type SelectQueryBuilder, sql } from 'kysely';
import type { Engine } from '../engine.ts';
import type { OutboxEventRow, Schema } from '../schema.ts';
import type { Insertion, MessageFilter, OutboxMessage, OutboxTable } from '../types-outbox.ts';
import { countAhead, recallAhead } from './outbox-ahead.ts';
import { eventRow, LANES, messageEvent, messageRow, outboxMessage } from './outbox-row.ts';
import {
  changeOne,
  claimTime,
  forgetMessages,
  insertRows,
  known,
  lockInOrder,
  octetsOf,
  prolong,
  requireArrived,
  take,
  unclaim,
} from './outbox-write.ts';
import { outboxOctets } from './outbox-octets.ts';

/** One number of our own among advisory locks: writers of events, so that their numbers grow in the order of commits. */
const EVENT_LOCK = 7_021_004;

export function outboxTable(engine: Engine): OutboxTable {
  const { read } = engine;
  /** A transaction that writes events. SQLite has one writer at a time anyway. */
  const write: Engine['write'] = (topic, work) =>
    engine.write(topic, async (trx) => {
      if (engine.name === 'postgres') await sql`SELECT pg_advisory_xact_lock(${EVENT_LOCK})`.execute(trx);
      return work(trx);
    });
  /** Rows of a queue that nobody else is taking at this moment. */
  const unlocked = <T>(query: SelectQueryBuilder<Schema, 'outbox_messages', T>) =>
    engine.name === 'postgres' ? query.forUpdate().skipLocked() : query;

  const table: OutboxTable = {
    insert: async (messages) => {
      // Reports tell of what was delivered or not: they belong to what the reserve is for.
      const fresh = messages.filter(({ message }) => message.source !== 'report');
      if (fresh.length > 0) await engine.admit(fresh.reduce((sum, { chunks }) => sum + octetsOf(chunks), 0));
      return write('outbox', async (trx) => {
        const insertions: (Insertion | undefined)[] = [];
        for (const { idempotency, message } of messages)
          insertions.push(idempotency && (await known(trx, engine, idempotency, message)));
        const fresh = messages.filter((_, index) => insertions[index] === undefined);
        const inserted = await insertRows(trx, engine, 'outbox_messages', fresh.map(messageRow));
        const numbers = new Map(inserted.map(({ id, seq }) => [id, seq]));
        const chunks = fresh.flatMap(({ message, chunks: own }) =>
          own.map(({ number, data }) => ({ body_id: message.bodyId, number, data })),
        );
        await insertRows(trx, engine, 'outbox_chunks', chunks);
        const long = fresh
          .filter(({ message, chunks: own }) => message.chunks > own.length)
          .map(({ message }) => message.bodyId);
        if (long.length > 0) await requireArrived(trx, long);
        await insertRows(
          trx,
          engine,
          'outbox_events',
          fresh.flatMap(({ message, events }) => events.map((event) => eventRow(message, event))),
        );
        return {
          result: messages.map(
            ({ message }, index): Insertion => insertions[index] ?? { type: 'inserted', seq: numbers.get(message.id)! },
          ),
          changed: fresh.length > 0,
        };
      });
    },
    ...outboxOctets(engine),
    find: (id) =>
      read(async (db) => {
        const row = await db.selectFrom('outbox_messages').selectAll().where('id', '=', id).executeTakeFirst();
        return row && outboxMessage(row);
      }),
    list: (filter, { before, limit }) =>
      read(async (db) => {
        let query = filtered(db.selectFrom('outbox_messages').selectAll(), filter).limit(limit);
        // By time a span is one walk along its index; by number it would be a walk through everything younger.
        const spans = before === undefined && (filter.since !== undefined || filter.until !== undefined);
        query = (spans ? query.orderBy('created_at', 'desc') : query).orderBy('seq', 'desc');
        if (before !== undefined) query = query.where('seq', '<', before);
        return (await query.execute()).map(outboxMessage);
      }),
    dueMailboxes: (now) =>
      read(async (db) => {
        // One step in the index per mailbox, however many messages each has.
        const { rows } = await sql<{ mailbox: string; tenant: string | null }>`
          WITH RECURSIVE box (mailbox) AS (
            SELECT min(mailbox) FROM outbox_messages WHERE state = 'queued'
            UNION ALL
            SELECT (SELECT min(mailbox) FROM outbox_messages WHERE state = 'queued' AND mailbox > box.mailbox)
            FROM box WHERE box.mailbox IS NOT NULL
          )
          SELECT box.mailbox AS mailbox, g.application_id AS tenant
          FROM box LEFT JOIN mailboxes b ON b.address = box.mailbox LEFT JOIN grants g ON g.id = b.grant_id
          WHERE box.mailbox IS NOT NULL AND (
            EXISTS (SELECT 1 FROM outbox_messages m
              WHERE m.state = 'queued' AND m.mailbox = box.mailbox AND m.lane = 0 AND m.state_at <= ${now})
            OR EXISTS (SELECT 1 FROM outbox_messages m
              WHERE m.state = 'queued' AND m.mailbox = box.mailbox AND m.lane = 1 AND m.state_at <= ${now}))`.execute(
          db,
        );
        return rows.map(({ mailbox, tenant }) => ({ mailbox, tenant: tenant ?? '' }));
      }),
    nextDue: () =>
      read(async (db) => {
        const row = await db
          .selectFrom('outbox_messages')
          .select('state_at')
          .where('state', '=', 'queued')
          .orderBy('state_at')
          .limit(1)
          .executeTakeFirst();
        return row?.state_at;
      }),
    claim: ({ mailbox, now, until, owner, limit, ways }) =>
      engine.write(undefined, async (trx) => {
        const ids: string[] = [];
        // Lane by lane, so that each is one range of the index.
        for (let lane = 0; lane < LANES.length && ids.length < limit; lane++) {
          const due = await unlocked(
            trx
              .selectFrom('outbox_messages')
              .select('id')
              .where('state', '=', 'queued')
              .where('mailbox', '=', mailbox)
              .where('lane', '=', lane)
              // Not from the index of due times: the oldest goes first, whenever it was put off.
              .where(sql<number>`+state_at`, '<=', now)
              .orderBy('seq')
              .limit(limit - ids.length),
          ).execute();
          ids.push(...due.map(({ id }) => id));
        }
        return { result: await take(trx, ids, owner, until, { ways }), changed: false };
      }),
    prolong: (owner, ids, until) =>
      engine.write(undefined, async (trx) => ({
        result: await prolong(trx, engine, owner, ids, until),
        changed: false,
      })),
    unclaim: (lost) =>
      engine.write('outbox', async (trx) => {
        const result = await unclaim(trx, engine, lost);
        return { result, changed: result > 0 };
      }),
    takeOver: ({ now, until, owner, limit, except = [] }) =>
      engine.write(undefined, async (trx) => {
        const left = await unlocked(
          trx
            .selectFrom('outbox_messages')
            .select(['id', 'state_at'])
            .where('state', '=', 'sending')
            .where((eb) => eb.or([eb('state_at', '<=', now), eb('state_at', '>', until)]))
            .$if(except.length > 0, (query) =>
              query.where((eb) => eb.not(eb.and([eb('state_by', '=', owner), eb('id', 'in', [...except])]))),
            )
            .orderBy('state_at')
            .limit(limit),
        ).execute();
        const ended = new Map(left.map(({ id, state_at }) => [id, state_at]));
        const taken = await take(trx, [...ended.keys()], owner, until, 'over');
        return {
          result: taken.map((message) => {
            const claimEndedAt = ended.get(message.id) ?? now;
            return claimEndedAt <= now ? { ...message, claimEndedAt } : message;
          }),
          changed: false,
        };
      }),
    change: async (id, fence, change, events) => (await table.changeAll([{ id, fence, change, events }]))[0],
    changeAll: (changes) =>
      write('outbox', async (trx) => {
        const result: (OutboxMessage | undefined)[] = [];
        const rows: Insertable<OutboxEventRow>[] = [];
        if (changes.length > 1)
          await lockInOrder(trx, engine, (query) =>
            query.where(
              'id',
              'in',
              changes.map(({ id }) => id),
            ),
          );
        for (const { id, fence, change, events } of changes) {
          const message = await changeOne(trx, engine, id, fence, change);
          result.push(message);
          if (message) rows.push(...events.map((event) => eventRow(message, event)));
        }
        await insertRows(trx, engine, 'outbox_events', rows);
        return { result, changed: result.some((message) => message !== undefined) };
      }),
    entry: (name) =>
      read(
        async (db) =>
          (await db.selectFrom('outbox_ledger').select('entry').where('name', '=', name).executeTakeFirst())?.entry,
      ),
    swapEntry: (name, before, after) =>
      engine.write(undefined, async (trx) => {
        const done =
          before === undefined
            ? await trx
                .insertInto('outbox_ledger')
                .values({ name, entry: after })
                .onConflict((conflict) => conflict.doNothing())
                .returning('name')
                .executeTakeFirst()
            : await trx
                .updateTable('outbox_ledger')
                .set({ entry: after })
                .where('name', '=', name)
                .where('entry', '=', before)
                .returning('name')
                .executeTakeFirst();
        return { result: done !== undefined, changed: false };
      }),
    late: ({ since }) =>
      read(async (db) => {
        const rows = await db
          .selectFrom('outbox_messages')
          .select(['mailbox', sql<number>`count(*)`.as('count'), sql<number>`min(created_at)`.as('since')])
          .where('state', '=', 'queued')
          .where('attempts', '>', 0)
          .where('created_at', '<', since)
          .groupBy('mailbox')
          .orderBy('mailbox')
          .limit(MAX_LATE)
          .execute();
        return rows;
      }),
    entries: (prefix) =>
      read((db) =>
        db
          .selectFrom('outbox_ledger')
          .select(['name', 'entry'])
          .where('name', '>=', prefix)
          .where('name', '<', after(prefix))
          .orderBy('name')
          .execute(),
      ),
    dropEntry: (name) =>
      engine.write(undefined, async (trx) => {
        await trx.deleteFrom('outbox_ledger').where('name', '=', name).execute();
        return { result: undefined, changed: false };
      }),
    prolongDeadlines: ({ mailboxes, from, to }) =>
      engine.write(undefined, async (trx) => {
        const waited = sql<number>`deadline + ${sql.lit(to)} - CASE WHEN created_at > ${sql.lit(from)} THEN created_at ELSE ${sql.lit(from)} END`;
        for (let at = 0; at === 0 || at < (mailboxes?.length ?? 0); at += BOXES) {
          const some = mailboxes?.slice(at, at + BOXES);
          if (some?.length === 0) break;
          // In the order of the key, as everybody locks; in one transaction, as nobody knows later which have been moved.
          for (let last = ''; ;) {
            const rows = await trx
              .selectFrom('outbox_messages')
              .select('id')
              .where('finished_at', 'is', null)
              .where('created_at', '<', to)
              .where('id', '>', last)
              .$if(some !== undefined, (query) => query.where('mailbox', 'in', some!))
              .orderBy('id')
              .limit(ROWS)
              .$if(engine.name === 'postgres', (query) => query.forUpdate())
              .execute();
            const ids = rows.map(({ id }) => id);
            if (ids.length > 0)
              await trx.updateTable('outbox_messages').set({ deadline: waited }).where('id', 'in', ids).execute();
            if (ids.length < ROWS) break;
            last = ids.at(-1)!;
          }
        }
        return { result: undefined, changed: false };
      }),
    recall: (ahead) =>
      engine.write(undefined, async (trx) => ({ result: await recallAhead(trx, engine, ahead), changed: false })),
    ahead: (ahead) => read((db) => countAhead(db, ahead)),
    note: (message, events) =>
      write('outbox', async (trx) => {
        await insertRows(
          trx,
          engine,
          'outbox_events',
          events.map((event) => eventRow(message, event)),
        );
        return { result: undefined, changed: true };
      }),
    knows: (scope, key, at) =>
      read(async (db) => {
        const claims = db
          .selectFrom('outbox_idempotency')
          .select('key')
          .where('scope', '=', scope)
          .where('key', '=', key);
        return (await claims.where('expires_at', '>', claimTime(engine, at)).executeTakeFirst()) !== undefined;
      }),
    events: ({ after = 0, messageId, mailboxes, types, limit }) =>
      read(async (db) => {
        let query = db.selectFrom('outbox_events').selectAll().where('seq', '>', after).orderBy('seq').limit(limit);
        if (messageId !== undefined) query = query.where('message_id', '=', messageId);
        if (mailboxes !== undefined) query = query.where('mailbox', 'in', [...mailboxes]);
        if (types !== undefined) query = query.where('type', 'in', [...types]);
        return (await query.execute()).map(messageEvent);
      }),
    lastEvent: () =>
      read(async (db) => {
        const last = db.selectFrom('outbox_events').select('seq').orderBy('seq', 'desc').limit(1);
        return (await last.executeTakeFirst())?.seq ?? 0;
      }),
    stats: (now, mailbox) =>
      read(async (db) => {
        const of = (state: string) => {
          const query = db.selectFrom('outbox_messages').where('state', '=', state);
          return mailbox === undefined ? query : query.where('mailbox', '=', mailbox);
        };
        const count = async (state: string): Promise<number> =>
          (
            await of(state)
              .select(sql<number>`count(*)`.as('n'))
              .executeTakeFirstOrThrow()
          ).n;
        const oldest = await of('queued')
          .select(sql<number | null>`min(created_at)`.as('at'))
          .where('state_at', '<=', now)
          .executeTakeFirst();
        return {
          queued: await count('queued'),
          sending: await count('sending'),
          held: await count('held'),
          oldestDueAt: oldest?.at ?? undefined,
        };
      }),
    prune: ({ finishedBefore, at, limit }) =>
      engine.write(undefined, async (trx) => {
        const forgotten = await forgetMessages(trx, finishedBefore, limit);
        await trx.deleteFrom('outbox_idempotency').where('expires_at', '<=', claimTime(engine, at)).execute();
        return { result: forgotten, changed: false };
      }),
  };
  return table;
}

/** Mailboxes that are told of at a time. */
const MAX_LATE = 100;
/** Mailboxes named in one statement. */
const BOXES = 500;
/** Messages of one statement: a statement that takes longer than the limit of the connection would take all back. */
const ROWS = 2000;

/** The first name that does not begin so: names are ASCII up to the slash that ends the prefix. */
function after(prefix: string): string {
  return `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)}`;
}

function filtered<T>(
  query: SelectQueryBuilder<Schema, 'outbox_messages', T>,
  {
    mailbox,
    mailboxes,
    states,
    envelopeFrom,
    messageId,
    recipient,
    principal,
    remoteAddress,
    since,
    until,
  }: MessageFilter,
): SelectQueryBuilder<Schema, 'outbox_messages', T> {
  let found = query;
  if (mailbox !== undefined) found = found.where('mailbox', '=', mailbox);
  if (mailboxes !== undefined) found = found.where('mailbox', 'in', [...mailboxes]);
  if (states !== undefined) found = found.where('state', 'in', [...states]);
  if (messageId !== undefined) found = found.where('message_id', '=', messageId);
  if (envelopeFrom !== undefined) found = found.where('envelope_from', '=', envelopeFrom);
  if (principal !== undefined) found = found.where('principal', '=', principal);
  if (remoteAddress !== undefined) found = found.where('remote_address', '=', remoteAddress);
  if (since !== undefined) found = found.where('created_at', '>=', since);
  if (until !== undefined) found = found.where('created_at', '<', until);
  // Recipients are JSON; an address is looked for as the string it is written as there.
  if (recipient !== undefined) found = found.where('recipients', 'like', `%${like(JSON.stringify(recipient))}%`);
  return found;
}

/** Literal text in a LIKE pattern of both engines, whose default escape differs: no wildcard is left in. */
function like(text: string): string {
  return text.replace(/[%_\\]/g, '_');
}
