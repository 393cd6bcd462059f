/** The redirect of hosts without a browser: the person signs in elsewhere and pastes the address the browser ended at. */
import { asError, type PosternError } from '../base/error.ts';
import { trimEndOf } from '../base/text.ts';
import { oauthError } from '../oauth/errors.ts';
import { isAnswer, type Redirect, stateOf } from './redirect.ts';

/** The sign-in page's answer ends within minutes; nobody pastes more often. */
const MAX_ATTEMPTS = 5;

export interface PasteBackOptions {
  /** As registered; nothing needs to listen there. */
  readonly redirectUri: string;
  /** Shows the address and gives back what the person pasted: the whole address, its query, or `code=…&state=…`. */
  readonly ask: (authorizationUrl: string) => Promise<string>;
  /** Told what was wrong with what was pasted, before it is asked for again. Without it the first mistake ends the sign-in. */
  readonly again?: (error: PosternError) => void;
}

export function pasteBack(options: PasteBackOptions): Redirect {
  return {
    uri: options.redirectUri,
    async wait(authorizationUrl, signal) {
      signal?.throwIfAborted();
      for (let attempt = 1; ; attempt += 1) {
        const pasted = await Promise.race([options.ask(authorizationUrl), abortOf(signal)]);
        try {
          return readPasted(pasted, options.redirectUri, stateOf(authorizationUrl));
        } catch (thrown) {
          const error = asError(thrown);
          // Nothing at all is how a person, or the end of a file, gives up.
          if (options.again === undefined || pasted.trim() === '' || attempt >= MAX_ATTEMPTS) throw error;
          options.again(error);
        }
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Browsers and servers end at 8 KiB to 32 KiB. */
const MAX_PASTED = 64 * 1024;

/** @throws oauth.redirect-invalid, oauth.redirect-mismatch */
export function readPasted(pasted: string, redirectUri: string, state: string | null): URL {
  if (pasted.length > MAX_PASTED)
    throw oauthError('oauth.redirect-invalid', 'the pasted text is longer than the address of a sign-in');
  const text = trimEndOf(pasted.trim().replace(/^["'<]+/, ''), `"'>`).replaceAll(/\s+/g, '');
  if (text === '') throw oauthError('oauth.redirect-invalid', 'nothing was pasted');
  const answer = new URL(redirectUri);
  if (/^https?:/i.test(text)) {
    const given = URL.canParse(text) ? new URL(text) : undefined;
    if (!given) throw oauthError('oauth.redirect-invalid', 'the pasted text is not a complete address');
    if (given.origin !== answer.origin || given.pathname !== answer.pathname) {
      throw oauthError('oauth.redirect-invalid', `the pasted address does not start with ${redirectUri}`, {
        hint: 'paste the address the browser shows at the very end, even when it cannot open that page',
        detail: { expected: redirectUri },
      });
    }
    answer.search = given.search;
  } else {
    answer.search = text.replace(/^[?#]/, '');
  }
  if (!isAnswer(answer.searchParams)) {
    throw oauthError('oauth.redirect-invalid', 'the pasted text carries no code and state', {
      hint: 'paste it completely: it must contain code=… and state=…',
    });
  }
  if (answer.searchParams.get('state') !== state) {
    throw oauthError('oauth.redirect-mismatch', 'the pasted address belongs to another sign-in');
  }
  return answer;
}

function abortOf(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
