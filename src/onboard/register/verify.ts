/**
 * Whether a registration took effect, seen from outside: metadata, what the token endpoint says to the application, what is
 * in its tokens; and with the Azure CLI what the directory says. Each check is a value; nothing here throws for a refusal.
 */
import { shellWord } from '../../base/shell.ts';
import { decodeJwt } from 'jose/jwt/decode';
import { asError, isError } from '../../base/error.ts';
import type { Clock } from '../../base/clock.ts';
import type { Application } from '../../store/types.ts';
import type { Protocol } from '../../store/protocols.ts';
import type { Vault } from '../../vault/types.ts';
import { checkAccessToken } from '../../oauth/access-token.ts';
import { type Client, openClient } from '../../oauth/engines.ts';
import { isAppOnly } from '../../oauth/flows.ts';
import type { Plan } from './plan.ts';

export interface Check {
  readonly name: string;
  /** `unknown`: cannot be seen from here. */
  readonly outcome: 'ok' | 'failed' | 'unknown';
  /** What was found, in plain words. */
  readonly found: string;
  /** What to do, when it is not ok. */
  readonly next?: string;
}

export interface VerifyDeps {
  readonly vault: Vault;
  readonly clock: Clock;
}

/** Everything that can be seen without signing anybody in. Never throws. */
export async function verifyApplication(
  deps: VerifyDeps,
  application: Application,
  plan: Plan,
): Promise<readonly Check[]> {
  let client: Client;
  try {
    client = await openClient(deps, application);
  } catch (error) {
    return [failed('application', error)];
  }
  try {
    const authority = await checkAuthority(client);
    if (authority.outcome === 'failed') return [authority];
    const checks = isAppOnly(plan.flow)
      ? await checkAppOnly(client, plan.protocols)
      : [await checkPublicClient(client)];
    return [authority, ...checks, mailboxCheck(plan)];
  } finally {
    await client.close();
  }
}

async function checkAuthority({ profile, http }: Client): Promise<Check> {
  const base = profile.authority === undefined ? profile.issuer : `${profile.authority}/v2.0`;
  const url = `${base.replace(/\/$/, '')}/.well-known/openid-configuration`;
  try {
    const answer = await http.request(url, { method: 'GET' });
    if (answer.status !== 200) {
      return {
        name: 'authority',
        outcome: 'failed',
        found: `${url} answered ${answer.status}`,
        next: profile.microsoft
          ? 'the tenant is unknown in this cloud: check --tenant (directory id or verified domain) and --cloud'
          : 'check the issuer',
      };
    }
    const { issuer } = (await answer.json()) as { issuer?: unknown };
    if (typeof issuer !== 'string')
      return { name: 'authority', outcome: 'failed', found: `${url} names no issuer`, next: 'check the issuer' };
    return { name: 'authority', outcome: 'ok', found: `issuer ${issuer}` };
  } catch (error) {
    return failed('authority', error);
  }
}

async function checkAppOnly(client: Client, protocols: readonly Protocol[]): Promise<readonly Check[]> {
  let token: Awaited<ReturnType<Client['appOnly']['appOnly']>>;
  try {
    token = await client.appOnly.appOnly(client.profile.appScopes);
  } catch (error) {
    return [failed('credential', error)];
  }
  const credential: Check = {
    name: 'credential',
    outcome: 'ok',
    found: 'the application got a token with its credential',
  };
  try {
    checkAccessToken(token.accessToken, client.profile, { protocols, appOnly: true });
  } catch (error) {
    return [credential, failed('permissions', error)];
  }
  const roles = rolesOf(token.accessToken.reveal());
  // Entra issues tokens without any role happily; only Exchange's role assignments can make such a one useful.
  const found =
    roles.length === 0
      ? 'the token names no role: Exchange’s own role assignments decide'
      : `roles ${roles.join(', ')}`;
  const needless = roles.filter((role) => !/^(?:IMAP|POP)\.AccessAsApp$|^SMTP\.SendAsApp$/.test(role));
  if (needless.length > 0) {
    return [
      credential,
      {
        name: 'permissions',
        outcome: 'failed',
        found: `the token can do more than mail needs: ${needless.join(', ')}`,
        next: 'remove these application permissions in API permissions, or register a second application for them',
      },
    ];
  }
  return [credential, { name: 'permissions', outcome: 'ok', found }];
}

function rolesOf(token: string): readonly string[] {
  try {
    const { roles } = decodeJwt<{ roles?: unknown }>(token);
    return Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : [];
  } catch {
    // An opaque token says nothing, and the mail servers decide.
    return [];
  }
}

/** Redeems a code nobody issued: how the refusal reads tells whether the application is known, and public. */
async function checkPublicClient(client: Client): Promise<Check> {
  const { delegated, profile, application } = client;
  const name = 'application';
  try {
    const redirectUri = 'http://localhost/';
    const answer = new URL(`${redirectUri}?code=verification&state=verification`);
    await delegated.redeem({ answer, redirectUri, state: 'verification', codeVerifier: 'v'.repeat(43), scopes: [] });
  } catch (thrown) {
    const error = asError(thrown);
    const codes = Array.isArray(error.detail['error_codes']) ? (error.detail['error_codes'] as unknown[]) : [];
    const reason = error.detail['error'];
    if (reason === 'invalid_grant' || codes.includes(9002313) || codes.includes(70000)) {
      return {
        name,
        outcome: 'ok',
        found: `${profile.microsoft ? 'Entra' : profile.authorizationServer} knows ${application.clientId} and asks for no more than Postern gives`,
      };
    }
    return failed(name, error);
  }
  return {
    name,
    outcome: 'failed',
    found: 'the authorization server took a code that nobody issued',
    next: 'do not use this server',
  };
}

function mailboxCheck(plan: Plan): Check {
  const [address = 'ADDRESS'] = plan.mailboxes;
  return {
    name: 'mailboxes',
    outcome: 'unknown',
    found: plan.appOnly
      ? 'what Exchange lets the application open shows only at sign-in'
      : 'whether people may consent by themselves shows only when one does',
    next: plan.appOnly
      ? `postern mailbox add ${shellWord(address)} --flow app-only, then postern mailbox test ${shellWord(address)}`
      : `postern mailbox add ${shellWord(address)}, then postern mailbox test ${shellWord(address)}`,
  };
}

function failed(name: string, thrown: unknown): Check {
  const error = asError(thrown);
  return { name, outcome: 'failed', found: error.message, next: isError(thrown) ? error.hint : 'see the message' };
}
