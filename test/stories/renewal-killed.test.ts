/** Two processes share the duty; one is killed in the middle of it, and the other carries on with everything. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../src/store/open.ts';
import { privateFolder } from '../bed/process.ts';
import { furnishHome, startRenewingProcess, startTokenEndpoint } from '../bed/renewing-process.ts';

const GRANTS = 300;
const RATE = 40;

test('a process is killed while it renews: each grant is renewed, none in a storm', { timeout: 90_000 }, async (t) => {
  const folder = privateFolder();
  const endpoint = await startTokenEndpoint();
  t.after(() => {
    endpoint.close();
    folder.remove();
  });
  const startedAt = Date.now();
  const home = await furnishHome(folder.path, endpoint, GRANTS);
  const processes = await Promise.all([startRenewingProcess(home, RATE), startRenewingProcess(home, RATE)]);
  t.after(() => Promise.all(processes.map((each) => each.stop())));
  while (endpoint.renewals.size < GRANTS / 4) await delay(5);
  processes[0].child.kill('SIGKILL');
  const store = await openStore(`sqlite:${join(home, 'postern.db')}`);
  t.after(() => store.close());
  const renewed = async (): Promise<number> =>
    (await store.grants.overview()).filter(({ state, renewal }) => {
      return state.type === 'active' && (renewal?.renewedAt ?? 0) > startedAt;
    }).length;
  let stored = await renewed();
  for (const end = performance.now() + 60_000; stored < GRANTS && performance.now() < end; stored = await renewed()) {
    await delay(200);
  }
  assert.equal(stored, GRANTS);
  // Only what the dead process had asked for and not yet stored is asked for again.
  const twice = [...endpoint.renewals.values()].filter((times) => times > 1);
  assert.ok(twice.length <= 8, `${twice.length} grants were renewed twice`);
  assert.ok(Math.max(...endpoint.renewals.values()) <= 2);
});
