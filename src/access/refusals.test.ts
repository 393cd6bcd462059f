import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Audit, AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { withBoundedRefusals } from './refusals.ts';

function bench() {
  const kept: AuditEntry[] = [];
  const inner: Audit = {
    record: (entry) => Promise.resolve(void kept.push(entry)),
    note: (entry) => void kept.push(entry),
    along: (_, work) => work(),
    ready: () => Promise.resolve(),
    flush: () => Promise.resolve(),
  };
  const clock = new ManualClock();
  return { kept, clock, audit: withBoundedRefusals(inner, clock) };
}
const refused = (remoteAddress: string, type: AuditEntry['type'] = 'api.refused'): AuditEntry => ({
  type,
  outcome: 'failed',
  data: { remoteAddress },
});

test('A37: of a client that is refused again and again ten records are kept, then how many more there were', async () => {
  const { kept, clock, audit } = bench();
  for (const type of ['api.refused', 'signin.local'] as const) {
    kept.length = 0;
    for (let n = 0; n < 4000; n++) audit.note(refused('203.0.113.7', type));
    audit.note(refused('203.0.113.8', type));
    assert.equal(kept.length, 11);
    await clock.advance(10 * 60_000);
    assert.equal(kept.length, 12);
    const { type: told, data } = kept.at(-1)!;
    assert.deepEqual([told, data!['remoteAddress'], data!['refusals']], [type, '203.0.113.7', 3990]);
  }
  // A new period begins with whole records.
  kept.length = 0;
  audit.note(refused('203.0.113.7'));
  assert.equal(kept.length, 1);
  audit.close();
});

test('A37: however many addresses refusals come from, their records are bounded, and none is uncounted', () => {
  const { kept, audit } = bench();
  for (let n = 0; n < 30_000; n++) audit.note(refused(`203.0.${n % 100}.${n % 253}`));
  for (let n = 0; n < 1000; n++) audit.note(refused(`2001:db8:0:1::${n.toString(16)}`));
  audit.close();
  assert.ok(kept.length <= 301, `${kept.length}`);
  const counted = kept.reduce((sum, { data }) => sum + ((data!['refusals'] as number | undefined) ?? 1), 0);
  assert.equal(counted, 31_000);
});

test('what succeeds, and what is no refusal of a stranger, is kept one by one', async () => {
  const { kept, audit } = bench();
  for (let n = 0; n < 500; n++) {
    audit.note({ ...refused('203.0.113.7', 'signin.local'), outcome: 'ok' });
    audit.note(refused('203.0.113.7', 'signin.upstream'));
  }
  await audit.record(refused('203.0.113.7'));
  assert.equal(kept.length, 1001);
  audit.close();
});
