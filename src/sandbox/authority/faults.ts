/** Answers that a test ordered instead of real ones. */
import { errorBody } from './aadsts.ts';
import { recordRequest, type OrderedFailure, type Platform } from './platform.ts';

/** Takes one ordered failure off the list, if there is any. */
export function nextFailure(platform: Platform): OrderedFailure | undefined {
  const [first] = platform.failures;
  if (!first) return undefined;
  const left = (first.times ?? 1) - 1;
  if (left > 0) platform.failures[0] = { ...first, times: left };
  else platform.failures.shift();
  return first;
}

/** The ordered answer, noted in the request log like any other. */
export function orderedAnswer(
  platform: Platform,
  form: ReadonlyMap<string, string>,
  failure: OrderedFailure,
): Response {
  const { status, headers = {}, error } = failure;
  recordRequest(platform, form, undefined, `ordered ${status}${error === undefined ? '' : ` ${error}`}`);
  if (error === undefined) {
    const page = `<html><body><h1>${status}</h1></body></html>`;
    return new Response(page, { status, headers: { 'content-type': 'text/html', ...headers } });
  }
  const aadsts = Number(/^AADSTS(\d+)/.exec(failure.description ?? '')?.[1] ?? 90033);
  const message = failure.description ?? `AADSTS${aadsts}: A transient error has occurred. Please try again.`;
  const { suberror } = failure;
  const refusal = { aadsts, error, status, ...(suberror === undefined ? {} : { suberror }) };
  const body = errorBody(refusal, message, { now: platform.clock.now(), origin: platform.origin });
  return Response.json(body, { status, headers: { 'cache-control': 'no-store', ...headers } });
}
