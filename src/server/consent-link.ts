/**
 * Links by which the owner of a mailbox consents again: one page that says what it is about, the provider's own sign-in, and
 * mail flows. The mailbox, its app passwords and settings stay as they are. A link only starts a sign-in; whether the right
 * person signed in is verified like in every consent, so a link that falls into wrong hands opens nothing.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock, Timer } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { isAppOnly } from '../oauth/flows.ts';
import { oauthError } from '../oauth/errors.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { isAnswer, stateOf } from '../oauth/redirect.ts';
import type { Application, Grant, Mailbox, Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import type { Config } from './config.ts';
import { askPage, failurePage, page, successPage } from './consent-pages.ts';
import type { Instance } from './instance.ts';

const LINK_MS = 7 * 86_400_000;
/** The life of an authorization code's request: who takes longer starts again from the link. */
const SIGN_IN_MS = 10 * 60_000;
const MOST_WAITING = 100;
const COOKIE = 'postern-consent';

/**
 * A link for this mailbox, good for a week.
 * @param base address of the console as the person's browser reaches it
 * @returns undefined when nobody can sign in for it: app-only grants
 */
export async function consentLink(
  { store, vault, clock }: { readonly store: Store; readonly vault: Vault; readonly clock: Clock },
  base: string,
  address: string,
): Promise<string | undefined> {
  const mailbox = await store.mailboxes.find(address);
  const grant = mailbox && (await store.grants.find(mailbox.grantId));
  if (!mailbox || !grant || isAppOnly(grant.flow)) return undefined;
  const payload = Buffer.from(JSON.stringify([mailbox.address, clock.now() + LINK_MS])).toString('base64url');
  return new URL(`consent/${payload}.${await sign(vault, payload)}`, withSlash(base)).href;
}

/** Where people's browsers reach the console: as configured, else on this machine only. */
export function consoleAddress(config: Pick<Config, 'console' | 'hostname'>, port = config.console.port): string {
  const { publicUrl, tls } = config.console;
  return publicUrl ?? (tls ? `https://${config.hostname ?? hostname()}:${port}/` : `http://localhost:${port}/`);
}

export interface ConsentPages {
  /** Answers what belongs to a consent; undefined for everything else. */
  handle(request: Request): Promise<Response | undefined>;
  /** Ends sign-ins that are under way. */
  close(): void;
}

interface Waiting {
  readonly cookie: string;
  readonly arrive: (answer: URL) => void;
  readonly done: Promise<Mailbox>;
}

/** @param base as for {@link consentLink}; with a slash at its end it is the redirect URI */
export function openConsentPages(instance: Instance, base: string): ConsentPages {
  const { store, vault, clock } = instance;
  const redirectUri = withSlash(base);
  const root = new URL(redirectUri).pathname;
  const waiting = new Map<string, Waiting>();
  const stop = new AbortController();

  /** What a link is for. */
  const subject = async (
    token: string,
  ): Promise<{ mailbox: Mailbox; grant: Grant; application: Application } | undefined> => {
    const address = await verify(vault, clock, token);
    const mailbox = address === undefined ? undefined : await store.mailboxes.find(address);
    const grant = mailbox && (await store.grants.find(mailbox.grantId));
    const application = grant && (await store.applications.find(grant.applicationId));
    return mailbox && grant && application ? { mailbox, grant, application } : undefined;
  };

  const start = async (token: string): Promise<Response> => {
    const found = await subject(token);
    if (!found) return failurePage(404, 'This link is over', 'Ask for a new one; links are good for a week.');
    if (waiting.size >= MOST_WAITING) {
      return failurePage(503, 'Too many sign-ins at once', 'Try again in a few minutes.');
    }
    const cookie = randomBytes(16).toString('base64url');
    const shown = Promise.withResolvers<string>();
    const done = signIn(found, shown.resolve, cookie);
    done.catch(shown.reject);
    try {
      const location = await shown.promise;
      const secure = redirectUri.startsWith('https:') ? '; Secure' : '';
      return page(303, 'Signing in', '', {
        location,
        'set-cookie': `${COOKIE}=${cookie}; Path=${root}; HttpOnly; SameSite=Lax; Max-Age=${SIGN_IN_MS / 1000}${secure}`,
      });
    } catch (error) {
      return failed(error);
    }
  };

  const signIn = async (
    { mailbox, grant, application }: { mailbox: Mailbox; grant: Grant; application: Application },
    show: (url: string) => void,
    cookie: string,
  ): Promise<Mailbox> => {
    const late = new AbortController();
    const timer: Timer = clock.after(SIGN_IN_MS, () =>
      late.abort(oauthError('oauth.consent-expired', 'nobody finished the sign-in in time')),
    );
    const state: { value?: string } = {};
    const outcome = Promise.withResolvers<Mailbox>();
    outcome.promise.catch(() => undefined);
    try {
      const { connectMailbox } = await import('../oauth/connect-mailbox.ts');
      const connected = await connectMailbox(instance, {
        application,
        address: mailbox.address,
        protocols: mailbox.protocols,
        flow: 'authorization-code',
        ...(mailbox.access === 'shared' ? { sharedWith: grant.identity } : {}),
        redirect: {
          uri: redirectUri,
          wait: (url, signal) =>
            new Promise((resolve, reject) => {
              state.value = stateOf(url) ?? '';
              signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
              waiting.set(state.value, { cookie, arrive: resolve, done: outcome.promise });
              show(url);
            }),
          close: () => Promise.resolve(),
        },
        signal: AbortSignal.any([late.signal, stop.signal]),
      });
      outcome.resolve(connected.mailbox);
      return connected.mailbox;
    } catch (error) {
      outcome.reject(error);
      throw error;
    } finally {
      timer.cancel();
      if (state.value !== undefined) waiting.delete(state.value);
    }
  };

  const finish = async (url: URL, cookies: string): Promise<Response> => {
    const state = url.searchParams.get('state') ?? '';
    const found = waiting.get(state);
    // The browser that started it finishes it (RFC 9700 §4.7).
    if (!found || !cookies.split(/; */).includes(`${COOKIE}=${found.cookie}`)) {
      return failurePage(
        400,
        'Not this sign-in',
        'This answer belongs to no sign-in that is waiting. Open the link again.',
      );
    }
    waiting.delete(state);
    found.arrive(url);
    try {
      const { address } = await found.done;
      return successPage(address);
    } catch (error) {
      return failed(error);
    }
  };

  return {
    async handle(request) {
      const url = new URL(request.url);
      const token = new RegExp(`^${escaped(root)}consent/([\\w-]+\\.[\\w-]+)$`).exec(url.pathname)?.[1];
      if (token !== undefined) {
        if (request.method === 'POST') return start(token);
        const found = await subject(token);
        if (!found) return failurePage(404, 'This link is over', 'Ask for a new one; links are good for a week.');
        const { mailbox, grant, application } = found;
        const { preset } = resolveProvider(application);
        // Only shown: programs that follow links in mail start nothing.
        return askPage({
          address: mailbox.address,
          signIn: grant.identity,
          provider: preset.name,
          mailbox,
          url: url.pathname,
        });
      }
      if (url.pathname === root && request.method === 'GET' && isAnswer(url.searchParams)) {
        return finish(new URL(url.search, redirectUri), request.headers.get('cookie') ?? '');
      }
      return undefined;
    },
    close: () => stop.abort(oauthError('oauth.consent-expired', 'the server stopped during the sign-in')),
  };
}

function failed(thrown: unknown): Response {
  const error = asError(thrown);
  return failurePage(error.kind === 'later' ? 503 : 400, 'Not signed in', `${error.message}. ${error.hint}`);
}

async function sign(vault: Vault, payload: string): Promise<string> {
  return createHmac('sha256', await vault.derive('consent-link'))
    .update(payload)
    .digest('base64url');
}

async function verify(vault: Vault, clock: Clock, token: string): Promise<string | undefined> {
  const [payload = '', signature = ''] = token.split('.');
  const [given, right] = [Buffer.from(signature), Buffer.from(await sign(vault, payload))];
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
  // Signed by us, so it is what we wrote.
  const [address, until] = JSON.parse(Buffer.from(payload, 'base64url').toString()) as [string, number];
  return clock.now() < until ? address : undefined;
}

function withSlash(base: string): string {
  return base.endsWith('/') ? base : `${base}/`;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
