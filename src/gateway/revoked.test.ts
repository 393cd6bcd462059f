/** A revocation that comes while a sign-in has been judged and its answer is on the way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../test/bed/eventually.ts';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { certificates, fakeProvider } from '../../test/bed/fake-provider.ts';
import { startBench } from '../../test/bed/gateway.ts';
import type { GatewayDeps } from './types.ts';

test('revocation while the OK is being written ends the connection before the program is let through', async (t) => {
  const revoke = { now: (): void => undefined };
  const silent = () => undefined;
  const meter: GatewayDeps['meter'] = {
    connectionOpened: silent,
    connectionClosed: silent,
    // The last that happens before the reply leaves.
    signIn: () => revoke.now(),
    sessionEnded: silent,
    sessionMoved: silent,
    sessionReused: silent,
    refusedByLimit: silent,
    handshakeFailed: silent,
  };
  const authority = await certificates();
  const provider = await fakeProvider('imap', authority);
  const bench = await startBench(authority, [{}], [provider], { deps: { meter } });
  t.after(async () => {
    await bench.close();
    await provider.close();
  });
  revoke.now = () => bench.signIn.revoke();
  const client = await bench.client();
  await client.line();
  await client.send(`a LOGIN ${ADDRESS} ${PASSWORD}`);
  await client.send('b NOOP');
  const said = (await client.until(/<end>/)).join('\n');
  assert.doesNotMatch(said, /^b /m);
  await eventually(() => provider.open === 0);
  assert.deepEqual(provider.lines, []);
});
