/** Several processes, some of which die, renew one grant. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Grant, Mailbox } from '../../src/store/types.ts';
import type { ChildJob } from './child.ts';
import { type Bed, openBed } from './fixture.ts';

describe('renewal with real processes', () => {
  let bed: Bed;
  let grant: Grant;
  let mailbox: Mailbox;
  let refreshesBefore: number;
  const refreshes = (): number =>
    bed.server.requests.filter((r) => r.grantType === 'refresh_token').length - refreshesBefore;

  before(async () => {
    bed = await openBed();
  });
  after(() => bed.close());
  beforeEach(async () => {
    ({ grant, mailbox } = await bed.connect({ application: await bed.application() }));
    refreshesBefore = 0;
    refreshesBefore = refreshes();
  });

  test('two processes with ten calls each on an expired token: one request', async () => {
    await bed.expire(grant.id);
    const results = await Promise.all([1, 2].map(() => child({ mailbox, calls: 10, dieAt: undefined })));
    const tokens = results.flatMap((result) => result.tokens ?? []);
    assert.equal(tokens.length, 20);
    assert.equal(new Set(tokens).size, 1, tokens.join('\n'));
    assert.equal(refreshes(), 1);
  });

  // `answered` is left out: between the answer's last octet and the commit there is no await but the seal and the write,
  // and nobody can make two machines agree in that moment. Dying there is covered by the last test.
  for (const step of ['leased', 'marked', 'committed', 'released'] as const) {
    test(`killed at “${step}”, the grant lives on`, async () => {
      await bed.expire(grant.id);
      const died = await child({ mailbox, calls: 5, dieAt: step });
      assert.equal(died.signal, 'SIGKILL');
      bed.endLeases();
      const { tokens } = await child({ mailbox, calls: 5, dieAt: undefined });
      assert.equal(new Set(tokens).size, 1, String(tokens));
      assert.match(tokens?.[0] ?? '', /^ey/);
      assert.equal(refreshes(), 1);
      await bed.expire(grant.id);
      await bed.source().accessToken(mailbox, 'imap');
    });
  }

  test('L9: an answer lost between the provider and the disk asks for consent, and says that this is why', async () => {
    await bed.expire(grant.id);
    assert.equal((await child({ mailbox, calls: 1, dieAt: 'answered' })).signal, 'SIGKILL');
    assert.equal((await bed.store.grants.find(grant.id))?.state.type, 'renewing');
    bed.endLeases();
    await assert.rejects(bed.source().accessToken(mailbox, 'imap'), {
      code: 'oauth.answer-lost',
      kind: 'denied',
      message: /replaced the refresh token in a renewal at \S+Z that was cut off/,
    });
    const { state } = (await bed.store.grants.find(grant.id))!;
    assert.ok(state.type === 'needs-consent');
    assert.deepEqual([state.code, /its answer never arrived/.test(state.reason)], ['oauth.answer-lost', true]);
  });

  function child(job: ChildJob): Promise<{ tokens: string[] | undefined; signal: NodeJS.Signals | null }> {
    return new Promise((resolve, reject) => {
      const running = fork(new URL('child.ts', import.meta.url), { serialization: 'advanced' });
      let tokens: string[] | undefined;
      running.on('error', reject);
      // What it sent last may come after its end.
      running.on('exit', (_code, signal) => {
        if (running.connected) running.once('disconnect', () => resolve({ tokens, signal }));
        else resolve({ tokens, signal });
      });
      running.on('message', (message: ChildMessage) => {
        if (message.type === 'ready') running.send({ type: 'job', job });
        else if (message.type === 'done') tokens = message.tokens;
        else
          void serve(message).then(
            (result) => running.connected && running.send({ type: 'result', id: message.id, ...result }),
          );
      });
    });
  }

  type Call = {
    readonly type: 'call';
    id: number;
    table: 'grants' | 'applications' | 'leases';
    method: string;
    args: unknown[];
  };
  type ChildMessage = { readonly type: 'ready' } | { readonly type: 'done'; readonly tokens: string[] } | Call;

  async function serve(call: Call): Promise<{ value?: unknown; error?: string }> {
    try {
      const method: unknown = Reflect.get(bed.store[call.table], call.method);
      if (typeof method !== 'function') return { error: `no method ${call.method}` };
      return { value: await (Reflect.apply(method, bed.store[call.table], call.args) as Promise<unknown>) };
    } catch (error) {
      return { error: String(error) };
    }
  }
});
