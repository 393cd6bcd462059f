/** Every grant with how it is doing: what `mailbox list`, the metrics and the notices go by. */
import { grantHealth, type GrantHealth } from './health.ts';
import { resolveProvider } from './provider.ts';
import type { Application, Grant, Mailbox, Store } from '../store/types.ts';

export interface SurveyedGrant {
  readonly grant: Omit<Grant, 'tokens'>;
  readonly application: Application | undefined;
  /** Host of the authorization server; undefined while the application's settings are wrong. */
  readonly authority: string | undefined;
  readonly mailboxes: readonly Mailbox[];
  readonly health: GrantHealth;
}

export interface Survey {
  readonly applications: readonly Application[];
  readonly grants: ReadonlyMap<string, SurveyedGrant>;
  readonly mailboxes: readonly Mailbox[];
}

/** Three queries, whatever the number of grants; no token is opened. @throws store.unavailable */
export async function surveyGrants(store: Store, now: number): Promise<Survey> {
  const [applications, grants, mailboxes] = await Promise.all([
    store.applications.list(),
    store.grants.overview(),
    store.mailboxes.list(),
  ]);
  const byGrant = Map.groupBy(mailboxes, (mailbox) => mailbox.grantId);
  const known = new Map(applications.map((application) => [application.id, { application, ...provider(application) }]));
  return {
    applications,
    mailboxes,
    grants: new Map(
      grants.map((grant) => {
        const { application, authority, inactivityMs } = known.get(grant.applicationId) ?? {};
        const own = byGrant.get(grant.id) ?? [];
        const facts = { grant, application, inactivityMs, mailbox: own[0]?.address };
        return [grant.id, { grant, application, authority, mailboxes: own, health: grantHealth(facts, now) }];
      }),
    ),
  };
}

function provider(application: Application): { authority?: string; inactivityMs?: number | undefined } {
  try {
    const { authorizationServer, inactivityMs } = resolveProvider(application);
    return { authority: authorizationServer, inactivityMs };
  } catch {
    // Wrong settings: its grants fail with what is wrong, and that is what they show.
    return {};
  }
}
