import type { Engine } from '../engine.ts';
import { storeError } from '../errors.ts';
import type { Application, ApplicationTable } from '../types.ts';
import { rowsOf } from './rows.ts';

export function applicationTable(engine: Engine): ApplicationTable {
  const topic = 'applications';
  const rows = rowsOf(engine, 'applications', { topic, json: ['settings', 'credentials'] });
  return {
    insert: (row) => rows.insert(row),
    async update(id, change) {
      // The id set to itself: an empty change is still an answer to whether the row is there.
      if (!(await rows.update({ id }, { ...rows.columns(change), id })))
        throw storeError('store.not-found', `there is no application ${id}`);
    },
    replace: (before, change) =>
      engine.write(topic, async (trx) => {
        const { id } = before;
        const [now] = await rows.locked(trx, { id });
        if (!now || !isSame(now, before)) return { result: false, changed: false };
        const changed = await rows.updateIn(trx, { id }, { ...rows.columns(change), id });
        return { result: changed, changed };
      }),
    find: (id) => rows.find({ id }),
    byName: (name) => rows.find({ name }),
    list: () => rows.list(['name']),
    remove: (id) => rows.remove({ id }),
  };
}

/** But for the credential: that has a lease of its own. */
function isSame(one: Application, other: Application): boolean {
  const text = ({ name, provider, clientId, tenant, settings }: Application): string =>
    JSON.stringify([name, provider, clientId, tenant, settings]);
  return text(one) === text(other);
}
