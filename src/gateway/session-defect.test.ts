/** A defect in one session ends that session, and no other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { certificates, fakeProvider } from '../../test/bed/fake-provider.ts';
import { startBench } from '../../test/bed/gateway.ts';
import type { Client } from '../../test/bed/line-client.ts';

test('A51: a defect in one session ends that session and is logged as one; another goes on', async (t) => {
  const authority = await certificates();
  const provider = await fakeProvider('smtp', authority);
  const bench = await startBench(authority, [{ protocol: 'smtp' }], [provider]);
  t.after(() => Promise.all([bench.close(), provider.close()]));
  const signedInBy = async (): Promise<Client> => {
    const client = await bench.client();
    await client.line();
    const secret = Buffer.from(`\0${ADDRESS}\0${PASSWORD}`).toString('base64');
    assert.match(await client.ask(`AUTH PLAIN ${secret}`, /^\d{3} /), /^235 /);
    return client;
  };
  const other = await signedInBy();
  const broken = await signedInBy();
  const known = bench.signIn.known.bind(bench.signIn);
  bench.signIn.known = () => {
    throw new TypeError('a defect');
  };
  assert.match(await broken.ask(`MAIL FROM:<${ADDRESS}>`, /^\d{3} /), /^421 4\.3\.0 gate\.example an internal error/);
  assert.equal(await broken.line(), '<end>');
  bench.signIn.known = known;
  const { level, fields } = bench.log.find(({ message }) => message.startsWith('a defect ended this session'))!;
  assert.equal(level, 'error');
  assert.equal(fields['code'], 'base.bug');
  assert.deepEqual(
    bench.audit.of('session.ended').map(({ outcome, data }) => [outcome, data!['reason']]),
    [['failed', 'error']],
  );
  assert.equal(bench.gateway.sessions, 1);
  assert.match(await other.ask('NOOP', /^\d{3} /), /^\d{3} /);
});
