/** An outbox on a database in memory, with one mailbox. */
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { Secret } from '../../src/base/secret.ts';
import { openOutbox, type OutboxDeps } from '../../src/outbox/open.ts';
import { type Hold, Job, type JobDeps } from '../../src/outbox/deliver/job.ts';
import { DeliveryMarks } from '../../src/outbox/deliver/proof.ts';
import type { AcceptRequest, Outbox } from '../../src/outbox/types.ts';
import type { OutboxMessage } from '../../src/store/types-outbox.ts';
import { newId } from '../../src/store/id.ts';
import { openStore } from '../../src/store/open.ts';
import type { Mailbox, Store } from '../../src/store/types.ts';
import { environmentKey } from '../../src/vault/key-source.ts';
import { openVault } from '../../src/vault/open.ts';
import type { Vault } from '../../src/vault/types.ts';

export interface OutboxBed {
  readonly store: Store;
  readonly vault: Vault;
  readonly outbox: Outbox;
  readonly mailbox: Mailbox;
  /** Another mailbox of the same grant. */
  addMailbox(address: string, settings?: Mailbox['settings']): Promise<Mailbox>;
  /** Another mailbox, of a tenant of its own. */
  addTenant(address: string): Promise<Mailbox>;
  request(change?: Partial<AcceptRequest>): AcceptRequest;
  close(): Promise<void>;
}

const KEY = new Secret(Buffer.alloc(32, 3).toString('base64'));

export async function openOutboxBed(
  options: Partial<OutboxDeps> & { readonly clock?: Clock; readonly url?: string } = {},
): Promise<OutboxBed> {
  const { clock = systemClock, url = 'sqlite::memory:' } = options;
  const store = options.store ?? (await openStore(url, { clock }));
  const vault = options.vault ?? (await openVault(store.settings, environmentKey(KEY)));
  const outbox = openOutbox({ store, vault, ...options, clock });
  const addGrant = async (identity: string): Promise<string> => {
    const application = {
      id: newId('app'),
      name: newId('name'),
      provider: 'microsoft',
      clientId: 'c',
      tenant: undefined,
    };
    await store.applications.insert({ ...application, settings: {}, credential: undefined, createdAt: 0 });
    const grant = { id: newId('grt'), applicationId: application.id, flow: 'device-code' as const, identity };
    await store.grants.insert({
      ...grant,
      subject: undefined,
      scopes: [],
      state: { type: 'pending', since: 0 },
      tokens: undefined,
      generation: 1,
      createdAt: 0,
    });
    return grant.id;
  };
  const insert = async (address: string, grantId: string, settings: Mailbox['settings'] = {}): Promise<Mailbox> => {
    const protocols = ['imap', 'pop3', 'smtp'] as const;
    const row = { address, grantId, access: 'own' as const, protocols, settings, createdAt: 0 };
    await store.mailboxes.insert(row);
    return row;
  };
  const grantId = await addGrant('alice');
  const addMailbox: OutboxBed['addMailbox'] = (address, settings) => insert(address, grantId, settings);
  const mailbox = await addMailbox('alice@contoso.test');
  return {
    store,
    vault,
    outbox,
    mailbox,
    addMailbox,
    addTenant: async (address) => insert(address, await addGrant(address)),
    request: (change = {}) => ({
      mailbox,
      envelope: { from: mailbox.address, recipients: [{ address: 'bob@contoso.test' }] },
      source: 'smtp',
      principal: 'apw_1',
      ...change,
    }),
    async close() {
      await outbox.close();
      await store.close();
    },
  };
}

/** Proves attempts, by a key of the tests. */
export const MARKS = new DeliveryMarks(Buffer.alloc(32, 7));

/** A message as a route gets it, whose claim lasts. */
export function jobOf(
  deps: Pick<JobDeps, 'outbox'> & Partial<JobDeps>,
  message: OutboxMessage,
  mailbox: Mailbox,
  hold: Hold = { lasts: true },
): Job {
  const whole: JobDeps = { marks: MARKS, clock: systemClock, change: () => Promise.resolve(message), ...deps };
  return new Job(whole, message, mailbox, hold);
}

/** A small message; LF is written as CRLF. */
export function letter(text = 'Subject: hello\n\nIt works.\n'): Uint8Array[] {
  return [Buffer.from(text.replace(/\r?\n/g, '\r\n'))];
}

export async function octetsOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
