/** What a failure shows of its cause: numbers, words and replies, gathered along the chain of errors. */
import { isError, type PosternError } from '../../base/error.ts';
import type { Protocol } from '../../store/protocols.ts';

export interface Evidence {
  /** Our own codes, the outermost first, with what the system said. */
  readonly ours?: readonly { readonly code: string; readonly reason: string }[];
  readonly aadsts?: readonly number[];
  readonly oauth?: { readonly error: string; readonly suberror?: string; readonly description?: string };
  readonly reply?: { readonly protocol: Protocol; readonly text: string };
  /** `status` of a SASL failure report. */
  readonly sasl?: string;
  /** Microsoft Graph’s `error.code`, which errors carry as `graphCode` in their detail. */
  readonly graph?: string;
  /** Whom it happened with. */
  readonly host?: string;
  /** Our name of the application. */
  readonly application?: string;
}

/** Reads an error and its causes; of each kind of fact the one nearest to the root counts. */
export function evidenceOf(error: PosternError): Evidence {
  const chain: PosternError[] = [];
  for (let link: unknown = error; isError(link) && chain.length < 10; link = link.cause) chain.push(link);
  let found: Evidence = {};
  for (const link of chain) found = { ...found, ...factsOf(link) };
  // A cause that did not come along (another process, a stored reason) leaves its code in the detail.
  const codes = chain.flatMap((link) => {
    const reason = textOf(link.detail['reason']) ?? '';
    const inner = textOf(link.detail['code']);
    return [{ code: link.code, reason }, ...(inner === undefined ? [] : [{ code: inner, reason }])];
  });
  return { ...found, ours: codes };
}

/** Reads what a person has at hand: a number, a code, an OAuth error word, a reply line. */
export function evidenceIn(text: string): Evidence {
  const aadsts = numbersIn(text) ?? (/^\d{5,7}$/.test(text) ? [Number(text)] : undefined);
  const plain = text.replace(/^(?:\*|[A-Za-z0-9]+) (?=(?:OK|NO|BAD|BYE)\b)/, '');
  const isReply = /^(?:[2-5]\d\d[ -]|[2-5]\.\d{1,3}\.\d{1,3}\b|-ERR\b|(?:NO|BAD|BYE)\b|Server Unavailable)/.test(plain);
  // By itself, or after the status as delivery notes it: `403 ErrorAccessDenied: …`.
  const graph = /^(?:\d{3} )?([A-Za-z]+(?:_[A-Z][A-Za-z]+)?)(?::|$)/.exec(text)?.[1];
  return {
    ...(aadsts ? { aadsts } : {}),
    ...(isReply ? { reply: { protocol: protocolOf(plain), text: plain } } : {}),
    ...(/^[a-z]+(?:_[a-z]+)+$|^[a-z]+[A-Z]\w+$/.test(text) ? { oauth: { error: text } } : {}),
    ...(graph === undefined ? {} : { graph }),
    ours: [{ code: text, reason: '' }],
  };
}

function factsOf({ detail }: PosternError): Evidence {
  const reason = textOf(detail['reason']) ?? '';
  const listed = Array.isArray(detail['error_codes']) ? detail['error_codes'].map(Number).filter(Number.isInteger) : [];
  const description = textOf(detail['error_description']);
  const aadsts = listed.length > 0 ? listed : numbersIn(`${description ?? ''} ${reason}`);
  // A stored grant keeps the provider's words as `invalid_grant AADSTS50173`.
  const error = textOf(detail['error']) ?? /^([a-z]+(?:_[a-z]+)+)(?: AADSTS\d+)*$/.exec(reason)?.[1];
  const suberror = textOf(detail['suberror']) ?? textOf(detail['error_subtype']);
  const reply = textOf(detail['reply']);
  const sasl = (detail['failure'] as { readonly status?: unknown } | undefined)?.status;
  const graph = textOf(detail['graphCode']);
  const application = textOf(detail['application']);
  const host = textOf(detail['host']) ?? hostOf(textOf(detail['url']));
  return {
    ...(aadsts ? { aadsts } : {}),
    ...(error === undefined
      ? {}
      : {
          oauth: {
            error,
            ...(suberror === undefined ? {} : { suberror }),
            ...(description === undefined ? {} : { description }),
          },
        }),
    ...(reply === undefined ? {} : { reply: { protocol: protocolOf(reply), text: reply } }),
    ...(typeof sasl === 'string' ? { sasl } : {}),
    ...(graph === undefined ? {} : { graph }),
    ...(host === undefined ? {} : { host }),
    ...(application === undefined ? {} : { application }),
  };
}

/** Replies of the three protocols begin differently (RFC 5321 §4.2, RFC 1939 §3, RFC 9051 §7.1). */
function protocolOf(reply: string): Protocol {
  if (/^[2-5][\d.]/.test(reply)) return 'smtp';
  return /^[-+]/.test(reply) ? 'pop3' : 'imap';
}

function numbersIn(text: string): readonly number[] | undefined {
  const found = [...text.matchAll(/AADSTS ?(\d{4,8})/gi)].map((match) => Number(match[1]));
  return found.length === 0 ? undefined : [...new Set(found)];
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function hostOf(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).host : undefined;
}
