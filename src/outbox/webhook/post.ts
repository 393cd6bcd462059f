/** One try to deliver one event. */
import type { Dispatcher } from 'undici';
import { retryAfterMs } from '../../base/http-answer.ts';
import { scrub } from '../../base/secret.ts';
import type { Egress } from './egress.ts';

export type PostOutcome =
  | { readonly type: 'delivered'; readonly status: number }
  /** The receiver does not want any more (410 Gone). */
  | { readonly type: 'gone'; readonly status: number }
  | {
      readonly type: 'failed';
      readonly status: number | undefined;
      readonly problem: string;
      /** From Retry-After. */
      readonly retryAfterMs: number | undefined;
    };

const ANSWER_MS = 15_000;
/** Characters of an answer that are kept for whoever looks for the mistake. */
const MAX_KEPT = 500;
const MAX_RETRY_AFTER_MS = 3_600_000;

/** Never throws: what goes wrong is the outcome. */
export async function postEvent(
  egress: Egress,
  agents: Readonly<Record<'http:' | 'https:', Dispatcher>>,
  url: string,
  headers: Readonly<Record<string, string>>,
  payload: string,
  signal: AbortSignal,
): Promise<PostOutcome> {
  try {
    const target = egress.check(url);
    const { fetch } = await import('undici');
    const response = await fetch(target, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', 'user-agent': 'Postern' },
      body: payload,
      // A redirect would lead where nobody judged.
      redirect: 'manual',
      dispatcher: agents[target.protocol as 'http:' | 'https:'],
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    const { status } = response;
    const said = await beginning(response.body);
    if (status >= 200 && status < 300) return { type: 'delivered', status };
    if (status === 410) return { type: 'gone', status };
    const problem = status >= 300 && status < 400 ? 'redirects are not followed' : said;
    const waitMs = retryAfterMs(response.headers.get('retry-after'), Date.now());
    return { type: 'failed', status, problem, retryAfterMs: waitMs && Math.min(waitMs, MAX_RETRY_AFTER_MS) };
  } catch (error) {
    return { type: 'failed', status: undefined, problem: reasonOf(error), retryAfterMs: undefined };
  }
}

/** The first characters of the answer, which then is dropped: nobody has to read megabytes of an error page. */
async function beginning(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const octets of body ?? []) {
    text += decoder.decode(octets, { stream: true });
    if (text.length >= MAX_KEPT) break;
  }
  return scrub(text.slice(0, MAX_KEPT));
}

function reasonOf(error: unknown): string {
  // undici says "fetch failed" and puts the reason below.
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (cause instanceof DOMException && cause.name === 'TimeoutError') return 'no answer within 15 seconds';
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string' && !cause.code.includes('.'))
    return scrub(`${cause.code}: ${cause.message}`.slice(0, MAX_KEPT));
  return scrub((cause instanceof Error ? cause.message : String(cause)).slice(0, MAX_KEPT));
}
