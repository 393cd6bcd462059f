/**
 * Changing what several write at the same time: read, decide, write if it is still as it was read, otherwise again. Nobody's
 * change is lost, and what was withdrawn stays withdrawn.
 */
import { storeError } from './errors.ts';
import type { Application, Mailbox, Store } from './types.ts';

/** Each round somebody has written; so many in a row are no coincidence. */
const MAX_ROUNDS = 200;

/** Gives a mailbox other settings. @returns it as it is then; undefined when there is none @throws store.conflict */
export async function editMailbox<Settings extends Mailbox['settings']>(
  { mailboxes }: { readonly mailboxes: Pick<Store['mailboxes'], 'find' | 'replaceSettings'> },
  address: string,
  decide: (now: Mailbox['settings']) => Settings,
): Promise<(Mailbox & { readonly settings: Settings }) | undefined> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const now = await mailboxes.find(address);
    if (!now) return undefined;
    const settings = decide(now.settings);
    if (await mailboxes.replaceSettings(address, now.settings, settings)) return { ...now, settings };
  }
  throw busy(`mailbox ${address}`);
}

/** Changes an application. @param decide what it throws is thrown @throws store.not-found, store.conflict (also: a name that is taken) */
export async function editApplication(
  { applications }: { readonly applications: Pick<Store['applications'], 'find' | 'replace'> },
  id: string,
  decide: (now: Application) => Partial<Omit<Application, 'id' | 'createdAt'>>,
): Promise<Application> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const now = await applications.find(id);
    if (!now) throw storeError('store.not-found', `there is no application ${id}`);
    const change = decide(now);
    if (await applications.replace(now, change)) return { ...now, ...change };
  }
  throw busy(`application ${id}`);
}

function busy(what: string): Error {
  return storeError('store.conflict', `others keep changing the ${what}`, {
    hint: 'nothing was changed; try again in a moment',
  });
}
