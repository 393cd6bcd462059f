/** Whether the provider keeps a copy of what a mailbox has sent, by each way mail leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import type { Mailbox } from '../store/types.ts';
import type { MessageState } from '../store/types-outbox.ts';
import type { Instance } from './instance.ts';
import { sentCopiesOf } from './sent-copies.ts';

const ID = '<1@contoso.test>';
const COPY = { messageId: ID, octets: 10_000 };

interface Known {
  readonly provider?: string;
  readonly savesSent?: boolean;
  readonly access?: Mailbox['access'];
  readonly relayed?: { readonly outcome?: string; readonly octets?: number; readonly messageId?: string };
  readonly outbox?: { readonly state: MessageState; readonly size?: number; readonly routes?: readonly string[] };
}

async function keeps(known: Known): Promise<string> {
  const { access = 'own', outbox, provider = 'microsoft', relayed, savesSent } = known;
  const asked: object[] = [];
  const store = {
    grants: { find: () => Promise.resolve({ applicationId: 'app_1' }) },
    applications: {
      find: () => Promise.resolve({ provider, settings: savesSent === undefined ? {} : { savesSent } }),
    },
    outbox: {
      list: (filter: object) => {
        asked.push(filter);
        return Promise.resolve(outbox ? [{ id: 'msg_1', size: 10_000, ...outbox }] : []);
      },
      events: () => Promise.resolve((outbox?.routes ?? ['smtp']).map((route) => ({ data: { route } }))),
    },
    audit: {
      latest: (filter: object) => {
        asked.push(filter);
        const { outcome = 'ok', octets = 10_000, messageId = ID } = relayed ?? {};
        return Promise.resolve(relayed ? [{ outcome, data: { octets, messageId } }] : []);
      },
    },
  };
  const clock = new ManualClock();
  const instance = { clock, store, audit: { flush: () => Promise.resolve() } } as unknown as Instance;
  const mailbox = { address: 'alice@contoso.test', access, grantId: 'grt_1' } as Mailbox;
  const answer = await sentCopiesOf(instance).keeps(mailbox, COPY);
  for (const filter of asked)
    assert.deepEqual({ ...filter, mailbox: mailbox.address, since: clock.now() - 15 * 60_000 }, filter);
  return answer;
}

test('M: of relayed mail the provider keeps a copy once it took it, when it is the same message by name and size', async () => {
  assert.equal(await keeps({ relayed: {} }), 'yes');
  assert.equal(await keeps({ relayed: { octets: 6_000 } }), 'yes');
  assert.equal(await keeps({ relayed: { octets: 5_000 } }), 'no');
  assert.equal(await keeps({ relayed: { octets: 20_000 } }), 'no');
  assert.equal(await keeps({ relayed: { outcome: 'failed' } }), 'no');
  assert.equal(await keeps({ relayed: { messageId: '<2@contoso.test>' } }), 'no');
  assert.equal(await keeps({}), 'no');
});

test('M: of outbox mail it keeps one once it was sent by the mailbox’s own provider, by SMTP or Graph', async () => {
  const sent: MessageState = { type: 'sent', at: 0 };
  assert.equal(await keeps({ outbox: { state: sent } }), 'yes');
  assert.equal(await keeps({ outbox: { state: sent, routes: ['smtp', 'graph'] } }), 'yes');
  assert.equal(await keeps({ outbox: { state: sent, routes: ['relay'] } }), 'no');
  assert.equal(await keeps({ outbox: { state: sent, routes: ['graph', 'relay'] } }), 'no');
  assert.equal(await keeps({ outbox: { state: sent, routes: [] } }), 'no');
  assert.equal(await keeps({ outbox: { state: sent, size: 100 } }), 'no');
  assert.equal(await keeps({ outbox: { state: { type: 'sending', owner: 'x', until: 1 } } }), 'not-yet');
  assert.equal(await keeps({ outbox: { state: { type: 'queued', nextAt: 0 } } }), 'not-yet');
  assert.equal(await keeps({ outbox: { state: { type: 'queued', nextAt: Number.MAX_SAFE_INTEGER } } }), 'no');
  assert.equal(await keeps({ outbox: { state: { type: 'held', since: 0, reason: '' } } }), 'no');
  assert.equal(await keeps({ outbox: { state: { type: 'failed', at: 0, code: '', reason: '' } } }), 'no');
});

test('M: nothing is known to be kept by other providers, or of shared mailboxes', async () => {
  assert.equal(await keeps({ relayed: {}, provider: 'generic' }), 'no');
  assert.equal(await keeps({ relayed: {}, provider: 'generic', savesSent: true }), 'yes');
  assert.equal(await keeps({ relayed: {}, savesSent: false }), 'no');
  assert.equal(await keeps({ relayed: {}, access: 'shared' }), 'no');
  assert.equal(await keeps({ relayed: {}, access: 'app-only' }), 'yes');
});
