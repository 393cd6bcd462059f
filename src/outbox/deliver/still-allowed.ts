/** What may be withdrawn after a message was accepted, asked again when it is handed over: its sender, its recipients, its mailbox. */
import { foldCase } from '../../base/case.ts';
import { maySendAs } from '../../access/senders.ts';
import type { Clock } from '../../base/clock.ts';
import { asError, isError } from '../../base/error.ts';
import { shellWord } from '../../base/shell.ts';
import { authorProblem } from '../../protocol/mime/authors.ts';
import { type Field, readFields } from '../../protocol/mime/header-fields.ts';
import { authorsOf, type Rights } from '../rights.ts';
import { headerOf } from './author.ts';
import type { Job } from './job.ts';
import { outcomeOfFailure, refusedForAll, silent } from './judge.ts';
import type { Outcome, RecipientOutcome, Route, SendJob } from './types.ts';

export interface StillAllowedDeps {
  /** Which of these addresses nothing may be sent to, from this mailbox or at all, with the reason. */
  suppressed?(addresses: readonly string[], mailbox?: string): Promise<ReadonlyMap<string, string>>;
}

/**
 * Takes out recipients that are suppressed by now, which is written down, and gives the outcome where that leaves nobody or the
 * mailbox may no longer send as the sender. Reports of ours are from the mail system, to who asked for them.
 * @throws store.unavailable, vault.damaged, outbox.claim-lost
 */
export async function stillAllowed(deps: StillAllowedDeps, job: Job): Promise<Outcome | undefined> {
  if (job.message.source === 'report') return undefined;
  const withdrawn = await senderProblem(job);
  if (withdrawn !== undefined) return refusedForAll('outbox.sender', silent(withdrawn), job.recipients);
  const addresses = job.recipients.map(({ address }) => address);
  const found = await deps.suppressed?.(addresses, job.mailbox.address);
  if (!found || found.size === 0) return undefined;
  const outcomes = addresses.flatMap((address): readonly RecipientOutcome[] => {
    const reason = found.get(foldCase(address));
    return reason === undefined ? [] : [{ address, outcome: 'refused', reply: `suppressed: ${reason}` }];
  });
  if (outcomes.length === 0) return undefined;
  if (outcomes.length === addresses.length)
    return { type: 'refused', code: 'outbox.suppressed', reply: silent(outcomes[0]!.reply), recipients: outcomes };
  await job.named(outcomes);
  return undefined;
}

/** The same route, by which nothing leaves while its mailbox, or the grant of that, is closed on purpose. */
export function whileOpen(route: Route, rights: Rights, clock: Clock): Route {
  return sendingBy(route, async (job, signal) => {
    try {
      await rights.requireOpen((await rights.mailbox(job.mailbox.address)) ?? job.mailbox);
    } catch (error) {
      if (!isError(error, 'oauth.suspended')) throw error;
      return outcomeOfFailure(asError(error), clock.now(), job.mailbox);
    }
    return route.send(job, signal);
  });
}

/** The same route but for what is done when it sends. */
export function sendingBy(route: Route, send: Route['send']): Route {
  const { endpoint, leavesNoCopy, name } = route;
  return {
    name,
    ...(leavesNoCopy === undefined ? {} : { leavesNoCopy }),
    ...(endpoint ? { endpoint: (mailbox) => endpoint.call(route, mailbox) } : {}),
    send,
    close: () => route.close(),
  };
}

/** Why the mailbox may not send it any more: by its envelope, or by a header that names others than it did when it was accepted. */
async function senderProblem(job: SendJob): Promise<string | undefined> {
  const { mailbox, message } = job;
  const { envelopeFrom, source } = message;
  const allow = (address: string): string =>
    `allow it again: postern mailbox set ${shellWord(mailbox.address)} --send-as ${shellWord(address)}`;
  if (envelopeFrom !== '' && !maySendAs(mailbox, envelopeFrom))
    return `${mailbox.address} may not send as ${envelopeFrom} any more; ${allow(envelopeFrom)}, then postern outbox retry ${shellWord(message.id)}`;
  const mayBe = authorsOf(mailbox, { source, onlySender: source === 'device' ? envelopeFrom : undefined });
  const fields = mayBe && (await fieldsOf(job));
  if (!fields) return undefined;
  const found = authorProblem(fields, {
    mayBe,
    nullSender: envelopeFrom === '',
    daemons: 'replaced',
    mayResend: source === 'sendmail',
    isReplaced: (one) => one.isLocal,
  });
  if (!found) return undefined;
  const next =
    found.address === undefined ? '' : `; ${allow(found.address)}, then postern outbox retry ${shellWord(message.id)}`;
  return `${found.problem}, which is not allowed as a sender any more${next}`;
}

/** Undefined where it cannot be read: the way out meets the same, and says so. */
async function fieldsOf({ body }: SendJob): Promise<readonly Field[] | undefined> {
  try {
    const header = await headerOf(body);
    const fields = header && readFields(header.toString('latin1'));
    return fields && 'problem' in fields ? undefined : fields;
  } catch (error) {
    const { code } = asError(error);
    if (code.startsWith('vault.') || code === 'outbox.not-found') return undefined;
    throw error;
  }
}
