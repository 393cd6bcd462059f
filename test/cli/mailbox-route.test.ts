/** `postern mailbox set --route`: which ways mail may leave, in which order. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Finished } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

const ALICE = 'alice@contoso.test';

let site: SandboxGateway;
before(async () => {
  site = await startSandboxGateway();
});
after(() => site?.stop());

const set = (...args: readonly string[]): Promise<Finished> =>
  site.cli(['mailbox', 'set', ALICE, ...args], { accept: [0, 64] });

test('routes are kept in order, and other settings with them', async () => {
  const done = await set('--outgoing', 'outbox', '--route', 'graph', '--route', 'smtp');
  assert.match(done.stdout.toString(), /leaves through the outbox, by graph, then smtp/);
  const shown = JSON.parse((await set('--send-as', 'info@contoso.test', '--json')).stdout.toString()) as object;
  assert.deepEqual(shown, {
    address: ALICE,
    outgoing: 'outbox',
    routes: ['graph', 'smtp'],
    sendAs: ['info@contoso.test'],
  });
});

test('a route that is none, and a relay that is not configured, are refused with the next step', async () => {
  for (const [route, said] of [
    ['pigeon', /there is no route pigeon[^]*smtp, graph, relay/],
    ['relay', /no relay is configured[^]*outbox\.relay in postern\.yaml/],
  ] as const) {
    const { code, stderr } = await set('--route', route);
    assert.equal(code, 64);
    assert.match(stderr, said);
  }
});
