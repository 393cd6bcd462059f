/**
 * Access to Microsoft Graph on the grants that mail uses: the way out where SMTP AUTH is switched off. An application's own
 * token is asked for as such; a person's is redeemed with the grant's refresh token, which at Microsoft serves every resource
 * that was consented to and stays good when it is used (MicrosoftDocs, refresh tokens). Nothing is stored: the grant itself is
 * renewed elsewhere, and a refusal here says nothing about it.
 */
import { asError, type PosternError } from '../base/error.ts';
import type { Mailbox } from '../store/types.ts';
import type { TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';
import { isAppOnly } from './flows.ts';
import { clouds } from './cloud.ts';
import { readGrant } from './renewal.ts';
import type { RenewalDeps } from './renewal-deps.ts';
import { LEAST_LEFT_MS } from './schedule.ts';
import { requireOpen } from './suspension.ts';
import type { AccessToken } from './types.ts';

export interface GraphAccess {
  readonly token: AccessToken;
  /** `https://graph.microsoft.com`, or that of another cloud. */
  readonly origin: string;
  /** PEM certificates to trust besides the system's. */
  readonly ca: string | undefined;
}

/** What was refused is asked again after this; every message in a queue would ask otherwise. */
const REFUSED_AGAIN_MS = 60_000;

export class GraphAccesses {
  readonly #deps: RenewalDeps;
  readonly #known = new Map<string, GraphAccess>();
  readonly #refused = new Map<string, { readonly error: PosternError; readonly until: number }>();
  readonly #inFlight = new Map<string, Promise<GraphAccess>>();

  constructor(deps: RenewalDeps) {
    this.#deps = deps;
  }

  /** @throws oauth.flow-unavailable (no mailbox of Microsoft's), and what a token request may throw */
  async of(mailbox: Mailbox): Promise<GraphAccess> {
    requireOpen(mailbox);
    const { grantId } = mailbox;
    const now = this.#deps.clock.now();
    const known = this.#known.get(grantId);
    if (known && known.token.expiresAt - now > LEAST_LEFT_MS) return known;
    const refused = this.#refused.get(grantId);
    if (refused && now < refused.until) throw refused.error;
    const asking = this.#inFlight.get(grantId) ?? this.#ask(grantId).finally(() => this.#inFlight.delete(grantId));
    this.#inFlight.set(grantId, asking);
    return asking;
  }

  /** Graph did not accept this token: the next call asks for another. */
  reject({ token }: GraphAccess): void {
    if (this.#known.get(token.grantId)?.token === token) this.#known.delete(token.grantId);
  }

  async #ask(grantId: string): Promise<GraphAccess> {
    const { clock } = this.#deps;
    try {
      const { grant, tokens } = await readGrant(this.#deps, grantId);
      const { delegated, appOnly, profile } = await this.#deps.client(grant.applicationId);
      if (!profile.microsoft)
        throw oauthError('oauth.flow-unavailable', `${profile.preset.name} has no Microsoft Graph`);
      if (profile.foreign && profile.graph === undefined)
        throw oauthError(
          'oauth.flow-unavailable',
          `no Microsoft Graph is named for ${profile.authorizationServer}, which is not ${profile.preset.name}’s authority`,
          { hint: 'set graph in the application’s settings: postern application set NAME --settings FILE' },
        );
      const { graph: origin } = clouds[profile.preset.family === 'microsoft' ? profile.preset.cloud : 'global'];
      // Everything that was consented to: naming what was not would fail the whole request.
      const scopes = [`${origin}/.default`];
      let answer: TokenAnswer;
      if (isAppOnly(grant.flow)) answer = await appOnly.appOnly(scopes);
      else if (tokens?.refreshToken) answer = await delegated.refresh(tokens.refreshToken, scopes);
      else throw oauthError('oauth.needs-consent', 'there is no refresh token to ask Microsoft Graph’s token with');
      const { accessToken: value, expiresAt } = answer;
      const access = {
        token: { value, expiresAt, scopes: answer.scopes, grantId },
        origin: profile.graph ?? origin,
        ca: profile.ca,
      };
      this.#known.set(grantId, access);
      this.#refused.delete(grantId);
      return access;
    } catch (thrown) {
      const error = asError(thrown);
      if (error.kind !== 'bug') this.#refused.set(grantId, { error, until: clock.now() + REFUSED_AGAIN_MS });
      throw error;
    }
  }
}
