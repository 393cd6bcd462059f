/** What every part of Graph works with, and who may do what. */
import type { Context } from 'hono';
import type { Bite } from '../faults/board.ts';
import { type FaultId, faults as catalogue, findFault } from '../faults/catalogue.ts';
import { CLAIMS } from '../authority/strike.ts';
import { graph, TENANT_DOMAIN, TENANT_ID, users } from '../authority/directory.ts';
import type { Platform } from '../authority/platform.ts';
import { mayOpen } from '../mail/admission.ts';
import type { MailSite } from '../mail/site.ts';
import type { Sender } from '../mail/submission.ts';
import type { TokenCheck, TokenFlaw, TokenVerdict } from '../token.ts';
import { refuse } from './refusal.ts';

export interface GraphSite {
  readonly platform: Platform;
  readonly mail: MailSite;
  /** Judges tokens for Graph. */
  readonly tokens: TokenCheck;
  /** `https://localhost:PORT`. */
  readonly origin: string;
}

export type Verdict = TokenVerdict & { readonly ok: true };

const FLAWS: Readonly<Record<TokenFlaw, string>> = {
  malformed: 'IDX14100: JWT is not well formed, there are no dots (.).',
  signature: 'Access token validation failure. Invalid signature.',
  issuer: 'Access token validation failure. Invalid issuer.',
  audience: 'Access token validation failure. Invalid audience.',
  expired: 'Lifetime validation failed, the token is expired.',
};

/** Whose token this is. @throws sandbox.graph 401 */
export function authenticate(site: GraphSite, c: Context): Verdict {
  const token = /^bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (token === undefined) throw refuse(401, 'InvalidAuthenticationToken', 'Access token is empty.');
  const verdict = site.tokens(token);
  if (!verdict.ok) throw refuse(401, 'InvalidAuthenticationToken', FLAWS[verdict.why]);
  return verdict;
}

/** The mailbox of `/me` or `/users/{id}`, for whoever has one of the permissions. @throws sandbox.graph 400, 403, 404 */
export function openMailbox(
  site: GraphSite,
  verdict: Verdict,
  user: string | undefined,
  permissions: readonly string[],
): Sender {
  if (user === undefined && verdict.appOnly)
    throw refuse(400, 'BadRequest', '/me request is only valid with delegated authentication flow.');
  const wanted =
    user === undefined ? verdict.identity! : (users.find(({ objectId }) => objectId === user)?.address ?? user);
  const mailbox = site.mail.mail.find(wanted);
  if (!mailbox) throw refuse(404, 'ErrorInvalidUser', `The requested user '${wanted}' is invalid.`);
  const own = mailbox.address === verdict.identity?.toLowerCase();
  const granted = verdict.appOnly
    ? permissions.some((name) => verdict.roles.includes(name))
    : permissions.some(
        (name) =>
          verdict.scopes.includes(own ? name : `${name}.Shared`) || (own && verdict.scopes.includes(`${name}.Shared`)),
      );
  if (!granted || (!verdict.appOnly && !mayOpen(verdict, mailbox))) throw refuseAs(site, 'graph-access-denied');
  return { mailbox, verdict };
}

/** Directory look-ups need a permission of their own. @throws sandbox.graph 403 */
export function requireDirectory(verdict: Verdict): void {
  const has = [...verdict.roles, ...verdict.scopes];
  if (!['Application.Read.All', 'Directory.Read.All'].some((name) => has.includes(name)))
    throw refuse(403, 'Authorization_RequestDenied', 'Insufficient privileges to complete the operation.');
}

/** Faults that bite every request come first, those of a mailbox when it is known, those of sending when it is sent. */
export type Moment = 'request' | 'mailbox' | 'send';

const MOMENTS: Readonly<Partial<Record<FaultId, Moment>>> = {
  'graph-access-denied': 'mailbox',
  'graph-mailbox-missing': 'mailbox',
  'graph-send-as-denied': 'send',
  'graph-quota-exceeded': 'send',
};

/** Lets the faults of a moment bite. @throws sandbox.graph */
export function strike(site: GraphSite, moment: Moment, addresses: readonly string[]): void {
  for (const { id, effect } of catalogue) {
    if (effect.type !== 'graph' || (MOMENTS[id] ?? 'request') !== moment) continue;
    const bite = site.mail.faults.bite(id, { place: 'graph', addresses });
    if (bite) throw refusalOf(site, bite);
  }
}

/** The words of a fault, said because it is so. */
export function refuseAs(site: GraphSite, id: FaultId): Error {
  return refusalOf(site, { fault: findFault(id)!, value: 0 });
}

function refusalOf({ platform }: GraphSite, { fault, value }: Bite): Error {
  if (fault.effect.type !== 'graph') throw new Error(`${fault.id} is no answer of Graph`);
  const { status, code, message, retryAfter, challenge } = fault.effect;
  const facts: Readonly<Record<string, string>> = {
    authority: `${platform.origin}/${TENANT_ID}`,
    graph: graph.id,
    claims: Buffer.from(CLAIMS).toString('base64'),
    tenant: TENANT_DOMAIN,
  };
  const fill = (text: string): string => text.replace(/\{(\w+)\}/g, (whole, name: string) => facts[name] ?? whole);
  return refuse(status, code, message, {
    ...(retryAfter === true ? { 'retry-after': String(value) } : {}),
    ...(challenge === undefined ? {} : { 'www-authenticate': fill(challenge) }),
  });
}
