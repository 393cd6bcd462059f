/**
 * The sign-in behind a link: one page that says what it is about, the provider's own sign-in, and mail flows. The mailbox, its
 * app passwords and settings stay as they are.
 */
import { randomBytes } from 'node:crypto';
import { perform } from '../admin/act.ts';
import type { Actor } from '../admin/actor.ts';
import { connectMailbox } from '../admin/mailboxes.ts';
import type { Timer } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import { oauthError } from '../oauth/errors.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { isAnswer, stateOf } from '../onboard/redirect.ts';
import type { Mailbox } from '../store/types.ts';
import { isSame, type Subject, subjectOf, withSlash } from '../onboard/consent-link.ts';
import { askPage, failurePage, messagePage, redirectPage, successPage } from './consent-pages.ts';
import { explainFailure } from './consent-texts.ts';
import { ConsentPlaces } from './consent-places.ts';
import type { Instance } from './instance.ts';

/** The life of an authorization code's request: who takes longer starts again from the link. */
const SIGN_IN_MS = 10 * 60_000;
const COOKIE = 'postern-consent';

export interface ConsentPages {
  /** Answers what belongs to a consent; undefined for everything else. */
  handle(request: Request): Promise<Response | undefined>;
  /** Ends sign-ins that are under way. */
  close(): void;
}

type Open = Extract<Subject, { type: 'open' }>;

interface Waiting {
  readonly cookie: string;
  readonly subject: Open;
  /** Path of the link, to begin again. */
  readonly link: string;
  readonly arrive: (answer: URL) => void;
  readonly done: Promise<Mailbox>;
}

/** @param base as for `consentLink`; with a slash at its end it is the redirect URI */
export function openConsentPages(instance: Instance, base: string): ConsentPages {
  const { clock } = instance;
  const redirectUri = withSlash(base);
  const root = new URL(redirectUri).pathname;
  const waiting = new Map<string, Waiting>();
  const places = new ConsentPlaces();
  const stop = new AbortController();

  const tokenOf = (path: string): string => path.slice(`${root}consent/`.length);

  const start = async (subject: Open, link: string): Promise<Response> => {
    const late = places.begin(subject.address);
    if (late === undefined) {
      return messagePage(503, 'Too many sign-ins at once', 'Please open the link again in a few minutes.');
    }
    const cookie = randomBytes(16).toString('base64url');
    const shown = Promise.withResolvers<string>();
    const done = signIn(subject, link, shown.resolve, cookie, late);
    done.catch(shown.reject);
    try {
      const location = await shown.promise;
      const secure = redirectUri.startsWith('https:') ? '; Secure' : '';
      return redirectPage(
        location,
        `${COOKIE}=${cookie}; Path=${root}; HttpOnly; SameSite=Lax; Max-Age=${SIGN_IN_MS / 1000}${secure}`,
      );
    } catch (error) {
      return failed(error, subject, link);
    }
  };

  /** A link may have been used or replaced, or its mailbox removed, since the sign-in was begun by it. */
  const confirm = async (subject: Open, link: string, begunAt: number): Promise<void> => {
    if (isSame(subject, await subjectOf(instance, tokenOf(link), begunAt))) return;
    throw oauthError('oauth.superseded', `the link for ${subject.address} was used or replaced during the sign-in`);
  };

  const signIn = async (
    subject: Open,
    link: string,
    show: (url: string) => void,
    cookie: string,
    late: AbortController,
  ): Promise<Mailbox> => {
    const timer: Timer = clock.after(SIGN_IN_MS, () =>
      late.abort(oauthError('oauth.consent-expired', 'nobody finished the sign-in in time')),
    );
    const begunAt = clock.now();
    const state: { value?: string } = {};
    const outcome = Promise.withResolvers<Mailbox>();
    outcome.promise.catch(() => undefined);
    try {
      const owner: Actor = { type: 'person', address: subject.address, permissions: ['mailboxes:write'] };
      const { mailbox } = await perform(connectMailbox, instance, owner, {
        application: subject.application,
        address: subject.address,
        protocols: subject.protocols,
        flow: 'authorization-code',
        sharedWith: subject.sharedWith,
        redirect: {
          uri: redirectUri,
          wait: (url, signal) =>
            new Promise((resolve, reject) => {
              state.value = stateOf(url) ?? '';
              signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
              waiting.set(state.value, { cookie, subject, link, arrive: resolve, done: outcome.promise });
              show(url);
            }),
          close: () => Promise.resolve(),
        },
        confirm: () => confirm(subject, link, begunAt),
        signal: AbortSignal.any([late.signal, stop.signal]),
      });
      outcome.resolve(mailbox);
      return mailbox;
    } catch (error) {
      outcome.reject(error);
      throw error;
    } finally {
      timer.cancel();
      places.end(subject.address, late);
      if (state.value !== undefined) waiting.delete(state.value);
    }
  };

  const finish = async (url: URL, cookies: string): Promise<Response> => {
    const state = url.searchParams.get('state') ?? '';
    const found = waiting.get(state);
    // The browser that started it finishes it (RFC 9700 §4.7).
    if (!found || !cookies.split(/; */).includes(`${COOKIE}=${found.cookie}`)) {
      return messagePage(
        400,
        'Not this sign-in',
        'This answer belongs to no sign-in that is waiting here. Please open the link again, and finish in the same browser.',
      );
    }
    waiting.delete(state);
    found.arrive(url);
    try {
      const { address } = await found.done;
      return successPage(address, found.subject.grant === undefined);
    } catch (error) {
      const { type } = await subjectOf(instance, tokenOf(found.link));
      return type === 'used' ? usedPage(found.subject.address) : failed(error, found.subject, found.link);
    }
  };

  return {
    async handle(request) {
      const url = new URL(request.url);
      if (url.pathname.startsWith(`${root}consent/`)) {
        const token = tokenOf(url.pathname);
        const subject: Subject = /^[\w-]+\.[\w-]+$/.test(token) ? await subjectOf(instance, token) : { type: 'over' };
        if (subject.type === 'over')
          return messagePage(
            404,
            'This link does not work',
            'It is older than a week, a newer one has taken its place, or a part of it was lost on the way. Please ask whoever sent it to you for a new one.',
          );
        if (subject.type === 'used') return usedPage(subject.address);
        if (request.method === 'POST') return start(subject, url.pathname);
        if (request.method !== 'GET' && request.method !== 'HEAD')
          return messagePage(405, 'Not like this', 'Please open the link in a browser.');
        const provider = nameOf(subject, url.pathname);
        if (typeof provider !== 'string') return provider;
        // Only shown: programs that follow links in mail start nothing.
        return askPage({
          address: subject.address,
          signIn: subject.identity,
          provider,
          protocols: subject.protocols,
          state: subject.grant?.state.type ?? 'new',
          until: subject.until,
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

function usedPage(address: string): Response {
  return messagePage(
    410,
    'Already done',
    `Somebody has signed in for ${address} since this link was made, and mail flows. There is nothing left to do; you can close this page.`,
  );
}

/** What the provider is called, or why nobody can sign in there. */
function nameOf(subject: Open, link: string): string | Response {
  try {
    return resolveProvider(subject.application).preset.name;
  } catch (error) {
    return failed(error, subject, link);
  }
}

function failed(thrown: unknown, subject: Open, link: string): Response {
  const error = asError(thrown);
  return failurePage(error.kind === 'later' ? 503 : 400, explainFailure(error, subject), link);
}
