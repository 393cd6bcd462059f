/**
 * What rests: a mailbox, an organisation, a way out or a server that refused mail for a reason that is not the message's. Kept in
 * the database, so that a restart does not forget it and every surface can say why mail waits, and until when.
 */
import type { OutboxTable } from '../store/types-outbox.ts';
import type { RestCause } from './deliver/types.ts';

export interface Rest extends RestCause {
  /** The mailbox, `ROUTE MAILBOX`, the id of the application, or `ROUTE HOST:PORT`. */
  readonly about: string;
  /** The mailbox whose message met it first. */
  readonly mailbox: string;
  /** `smtp`, `graph`, `relay`. */
  readonly route: string;
  /** Stable code of the outcome. */
  readonly code: string;
  /** What was said, whole. */
  readonly reply: string;
  /** When it began, when it was tried last, when it is tried next; milliseconds since the epoch. */
  readonly since: number;
  readonly lastAt: number;
  readonly until: number;
  /** Attempts that ended so. */
  readonly tries: number;
  /** Another way of the mailbox may be tried meanwhile. */
  readonly closed: boolean;
}

/** Where rests are kept among the ledger's entries. */
export const REST_PREFIX = 'rest/';

export function restName({ about, scope }: Pick<Rest, 'scope' | 'about'>): string {
  return `${REST_PREFIX}${scope}/${about}`;
}

/** Everything that rests now, the oldest first. @throws store.unavailable */
export async function listRests(table: Pick<OutboxTable, 'entries'>): Promise<readonly Rest[]> {
  const entries = await table.entries(REST_PREFIX);
  return entries.map(({ entry }) => JSON.parse(entry) as Rest).toSorted((a, b) => a.since - b.since);
}

/** Whether a rest keeps mail of a mailbox. @param applicationId its tenant, where known */
export function concerns(rest: Rest, mailbox: string, applicationId: string | undefined): boolean {
  switch (rest.scope) {
    case 'mailbox':
      return rest.about === mailbox;
    case 'route':
      return rest.about === `${rest.route} ${mailbox}`;
    case 'tenant':
      return rest.about === applicationId;
    case 'endpoint':
      // Its name is not the mailbox's; who uses the server is known to who delivers.
      return rest.mailbox === mailbox;
  }
}

/** Why mail waits and what happens next, in one line. */
export function restText(rest: Rest): string {
  const what = {
    mailbox: `mail of ${rest.about} waits`,
    route: `sending ${rest.mailbox} by ${rest.route} is paused`,
    tenant: `mail of all mailboxes of ${rest.mailbox}’s organisation waits`,
    endpoint: `mail for ${rest.about.replace(' ', ' at ')} waits`,
  }[rest.scope];
  const ends =
    rest.passesMs === undefined
      ? rest.passesWhen === undefined
        ? 'it does not pass by itself'
        : `it passes when ${rest.passesWhen}`
      : `it passes by ${minute(rest.since + rest.passesMs)} UTC`;
  return `${what} since ${minute(rest.since)} UTC: ${rest.cause}; ${ends}; next try ${minute(rest.until)} UTC`;
}

const minute = (at: number): string => new Date(at).toISOString().slice(0, 16).replace('T', ' ');
