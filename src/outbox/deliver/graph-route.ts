/** Microsoft Graph as a way out: `sendMail` with the message as it is, drafts with upload sessions above its size limit. */
import type { Clock } from '../../base/clock.ts';
import { asError, isError } from '../../base/error.ts';
import { refusalOf } from '../../oauth/catalogue/refusal.ts';
import type { GraphAccess } from '../../oauth/graph-access.ts';
import { rowOf } from '../../store/table/mailboxes.ts';
import type { Mailbox } from '../../store/types.ts';
import type { Recipient } from '../../store/types-outbox.ts';
import { authorOf } from './author.ts';
import { type GraphAnswer, GraphHttp } from './graph-http.ts';
import { isSealedMime, sendInParts } from './graph-parts.ts';
import { addressToAll, type Named } from './graph-recipients.ts';
import { type Asked, forAll, outcomeOfFailure, refusedForAll, resting, restOf, silent } from './judge.ts';
import type { Outcome, ProviderReply, RestCause, Route, SendJob } from './types.ts';

export interface GraphAccessSource {
  of(mailbox: Mailbox): Promise<GraphAccess>;
  reject(access: GraphAccess): void;
}

/**
 * A request may have 4 MB (microsoft-graph-docs, concepts/outlook-large-attachments), and base64 makes four octets of three.
 */
const MAX_AT_ONCE = 3_000_000;

export class GraphRoute implements Route {
  readonly name = 'graph';
  readonly #access: GraphAccessSource;
  readonly #clock: Clock;
  readonly #http: GraphHttp;
  /** Large messages are in memory while they are taken apart: one at a time. */
  #large: Promise<unknown> = Promise.resolve();

  readonly endpoint?: NonNullable<Route['endpoint']>;

  /** @param endpoint names the service a mailbox uses, so that who cannot reach it spares others the try */
  constructor(access: GraphAccessSource, clock: Clock, endpoint?: NonNullable<Route['endpoint']>) {
    this.#access = access;
    if (endpoint) this.endpoint = endpoint;
    this.#clock = clock;
    this.#http = new GraphHttp(clock);
  }

  async send(job: SendJob, signal: AbortSignal): Promise<Outcome> {
    const { mailbox, message, recipients } = job;
    if (message.envelopeFrom === '') return unfit('Microsoft Graph sends no reports, which have no sender');
    try {
      if (message.size <= MAX_AT_ONCE) return await this.#trySend(job, signal);
      const turn = this.#large.then(() => this.#trySend(job, signal));
      this.#large = turn.catch((error: unknown) => error);
      return await turn;
    } catch (error) {
      signal.throwIfAborted();
      if (isError(error, 'outbox.graph-unknown'))
        return { type: 'unknown', reply: silent(`Microsoft Graph did not answer to the end: ${error.message}`) };
      if (isError(error, 'outbox.graph-refused'))
        return outcomeOfAnswer(error.detail['answer'] as GraphAnswer, recipients, {
          mailbox,
          from: await authorOf(job),
        });
      const outcome = outcomeOfFailure(asError(error), this.#clock.now(), mailbox);
      // No token for Microsoft Graph says nothing of the other ways.
      return 'rest' in outcome && outcome.rest?.scope === 'mailbox'
        ? { ...outcome, rest: { ...outcome.rest, scope: 'route' } }
        : outcome;
    }
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  async #trySend(job: SendJob, signal: AbortSignal): Promise<Outcome> {
    const octets: Uint8Array[] = [Buffer.from(job.mark(job.recipients))];
    for await (const piece of job.body()) octets.push(piece);
    const addressed = addressToAll(Buffer.concat(octets), job.recipients);
    if (addressed.type === 'misaddressed') return unfit(addressed.reason);
    const { named, raw } = addressed;
    if (raw.length > MAX_AT_ONCE) {
      const problem = unfitForParts(raw, named);
      if (problem !== undefined) return unfit(problem);
    }
    for (let tries = 0; ; tries++) {
      const access = await this.#access.of(job.mailbox);
      job.mayFinish();
      const answer = await this.#sendOnce(access, job, raw, named, signal);
      // What was consented to since is in the next token only.
      if (answer.status === 401 || answer.status === 403) this.#access.reject(access);
      // A token may be refused although it has time left: one more try with a new one.
      if (answer.status !== 401 || tries > 0)
        return outcomeOfAnswer(answer, job.recipients, {
          mailbox: job.mailbox,
          from: answer.status < 300 ? job.message.envelopeFrom : await authorOf(job),
        });
    }
  }

  async #sendOnce(
    access: GraphAccess,
    { mailbox, mayFinish, message }: Pick<SendJob, 'mailbox' | 'mayFinish' | 'message'>,
    raw: Buffer,
    named: Named,
    signal: AbortSignal,
  ): Promise<GraphAnswer> {
    const user = `/v1.0/users/${encodeURIComponent(mailbox.address)}`;
    if (raw.length > MAX_AT_ONCE)
      return sendInParts(this.#http, access, user, { raw, named, messageId: message.messageId }, signal, mayFinish);
    return this.#http.ask(
      access,
      { method: 'POST', path: `${user}/sendMail`, type: 'text/plain', body: raw.toString('base64'), final: true },
      signal,
    );
  }
}

/** What Graph's answer to the request that sends means for the message. */
export function outcomeOfAnswer(answer: GraphAnswer, recipients: readonly Recipient[], asked: Asked): Outcome {
  const { code = '', retryAfterMs, status } = answer;
  const reply = replyOf(answer);
  if (status >= 200 && status < 300)
    return { type: 'sent', reply, recipients: forAll(recipients, 'delivered', reply.text) };
  if (status === 413) return { type: 'unfit', code: 'outbox.too-large', reply };
  const refusal = refusalOf(code === '' ? {} : { graph: code }, {
    address: asked.mailbox.address,
    row: rowOf(asked.mailbox),
  });
  const rest = restOf(refusal, asked) ?? (refusal ? undefined : restByStatus(status));
  if (rest) return resting(rest, reply, retryAfterMs);
  return refusedForAll('outbox.refused', reply, recipients);
}

/** What an answer without a known code says by its status alone. */
function restByStatus(status: number): RestCause | undefined {
  const row = `graph.http-${status}`;
  const passing = { row, remedy: 'wait; Postern tries again by itself', passesWhen: 'Microsoft’s service recovers' };
  if (status === 429)
    return { scope: 'mailbox', ...passing, cause: 'Microsoft Graph asks for fewer requests', againMs: 60_000 };
  if (status >= 500 || status === 408 || status === 423)
    return { scope: 'route', ...passing, cause: `Microsoft Graph answers ${status}`, againMs: 30_000 };
  if (status === 401)
    return {
      scope: 'mailbox',
      row,
      cause: 'Microsoft Graph does not take the token of this mailbox',
      remedy: 'consent again: postern mailbox reconsent ADDRESS',
      againMs: 60_000,
    };
  if (status !== 403 && status !== 404) return undefined;
  const cause = 'Microsoft Graph does not let this mailbox send';
  const remedy = 'consent to Mail.Send for the application: postern register microsoft --graph';
  return { scope: 'route', row, cause, remedy, againMs: 15 * 60_000 };
}

function replyOf({ code, requestId, status, text }: GraphAnswer): ProviderReply {
  const id = requestId === undefined ? '' : ` [request ${requestId}]`;
  const said = code === undefined ? (status === 202 ? 'Accepted' : text) : `${code}: ${text}`;
  return { code: status, enhanced: undefined, text: `${status} ${said}${id}` };
}

function unfit(text: string): Outcome {
  return { type: 'unfit', code: 'outbox.unfit', reply: silent(text) };
}

/** Why a message cannot be taken apart into a draft and its attachments. */
function unfitForParts(raw: Buffer, { from, replyTo }: Named): string | undefined {
  const large = `a message of more than ${MAX_AT_ONCE} octets`;
  if (isSealedMime(raw))
    return `a signed or encrypted message of more than ${MAX_AT_ONCE} octets would be changed on this way`;
  if (from.length !== 1) return `Microsoft Graph takes ${large} from one author only, and From names ${from.length}`;
  if (replyTo === undefined) return `Microsoft Graph takes ${large} in parts, and Reply-To cannot be read`;
  return undefined;
}
