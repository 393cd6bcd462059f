import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addUp, EndedCounts, type Metrics, openMetrics } from './metrics.ts';

const values = ({ registry }: Metrics) => registry.getMetricsAsJSON();

test('W7: what ended workers had counted stays, in counters and histograms; their gauges go', async () => {
  const [alive, dead, deader] = [openMetrics('1'), openMetrics('1'), openMetrics('1')];
  for (const metrics of [alive, dead, deader]) {
    metrics.meter.connectionOpened('imap');
    metrics.meter.signIn('imap', 'ok', 'ok', 20);
  }
  const before = await addUp([await values(alive), await values(dead), await values(deader)]);
  const ended = new EndedCounts();
  await ended.add(await values(dead));
  await ended.add(await values(deader));
  const after = await addUp([await values(alive), ended.values!]);
  for (const [text, open] of [
    [before, 3],
    [after, 1],
  ] as const) {
    assert.match(text, /^postern_sign_ins_total\{protocol="imap",outcome="ok",code="ok"\} 3$/m);
    assert.match(text, /^postern_sign_in_seconds_count\{.*\} 3$/m);
    assert.match(text, /^postern_sign_in_seconds_bucket\{le="0.025",.*\} 3$/m);
    assert.match(text, new RegExp(`^postern_connections_open\\{protocol="imap"\\} ${open}$`, 'm'));
  }
});
