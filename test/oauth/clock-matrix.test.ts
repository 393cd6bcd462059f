/** A grant under every way in which time goes wrong: it is renewed within an hour of the right time. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nullLog } from '../../src/base/log.ts';
import { openCircuits } from '../../src/oauth/circuit.ts';
import { startRenewalDuty } from '../../src/oauth/renewal-duty.ts';
import { openStore } from '../../src/store/open.ts';
import { pass, turns } from '../bed/delivering.ts';
import { ManualClock } from '../bed/manual-clock.ts';
import { DAY, HOUR, live, MINUTE, SHAPES } from '../bed/wrong-time.ts';
import { fakeProvider } from './fake-provider.ts';
import { plainVault } from './fixture.ts';

describe('L15: the clock matrix of renewal', () => {
  for (const shape of SHAPES)
    for (const before of ['renewed', 'failing', 'claimed by a process that died'] as const)
      test(`a grant that was ${before}: ${shape}`, async (t) => {
        const clock = new ManualClock();
        const store = await openStore('sqlite::memory:', { clock: new ManualClock() });
        const vault = plainVault();
        const provider = await fakeProvider(store, vault, clock);
        const circuits = openCircuits(clock);
        const { client } = provider;
        const emit = (): void => undefined;
        const begin = () =>
          startRenewalDuty({ store, vault, clock, log: nullLog, emit, owner: 'me', client, circuits });
        let duty = begin();
        t.after(async () => {
          await duty.stop();
          await store.close();
        });
        const { id } = await provider.addGrant({ expiresAt: clock.now() + HOUR });
        await live(clock, shape, {
          async act() {
            await turns();
            if (before === 'claimed by a process that died') {
              await duty.stop();
              const grant = (await store.grants.find(id))!;
              await store.grants.update(id, grant.generation, { renewAt: clock.now() + 20_000 });
              return;
            }
            if (before === 'failing') {
              const grant = (await store.grants.find(id))!;
              await store.grants.update(id, grant.generation, { renewAt: clock.now() + HOUR });
            }
            await pass(clock, MINUTE, 5000, turns);
          },
          async restart() {
            await duty.stop();
            await clock.advance(3 * DAY);
          },
          async holds() {
            if (before === 'claimed by a process that died' || shape === 'stopped for three days') duty = begin();
            const counted = provider.refreshes.get(id)?.length ?? 0;
            await pass(clock, 61 * MINUTE, 15_000, turns);
            assert.ok((provider.refreshes.get(id)?.length ?? 0) > counted, 'renewed within an hour of the right time');
          },
        });
      });
});
