/**
 * Compares what should be told with what was told, once a minute, in one process at a time. Everything is kept in the store, so
 * a cause is told once however often processes start, and what it takes to be well again is told when it has come.
 */
import type { Audit } from '../../audit/types.ts';
import type { Clock } from '../../base/clock.ts';
import { newId } from '../../store/id.ts';
import type { Store } from '../../store/types.ts';
import type { Survey } from '../../oauth/survey.ts';
import type { OutboxTrouble } from './outbox.ts';
import { isSuperseded, noticesOf } from './causes.ts';
import { type NoticeBody, noticeBody } from './notice-body.ts';

export interface WatchDeps {
  readonly store: Store;
  readonly audit: Audit;
  readonly clock: Clock;
  /** Names of the configured ways. */
  readonly channels: readonly string[];
  /** Where the owner of a mailbox signs in again; undefined when nobody could follow it. */
  readonly link: (address: string) => Promise<string | undefined>;
}

/** Resolved notices are remembered for so long. */
const KEEP_MS = 90 * 86_400_000;

/** Raises what is new and resolves what is over. @throws store.unavailable */
export async function tellChanges(deps: WatchDeps, survey: Survey, outbox?: OutboxTrouble): Promise<void> {
  const { store, audit, clock } = deps;
  const now = clock.now();
  const open = await store.notices.open();
  const known = new Set(open.map(({ cause }) => cause));
  const wanted = noticesOf(survey, now, known, outbox);
  for (const [cause, plain] of wanted) {
    if (known.has(cause)) continue;
    const body = await withLink(deps, plain);
    const id = newId('notice');
    // Another process may be faster: then this is told already.
    if (!(await store.notices.raise({ id, cause, body: { ...body }, raisedAt: now }, deps.channels))) continue;
    await audit.record({
      type: 'notice.raised',
      outcome: 'failed',
      ...mailboxOf(plain),
      data: { ...plain, notice: id },
    });
  }
  const gone = open.filter(({ cause }) => !wanted.has(cause));
  for (const { cause, body: about } of gone) {
    const quietly = isSuperseded(cause, noticeBody.parse(about), wanted);
    const closed = await store.notices.resolve(cause, now, quietly);
    if (!closed || quietly) continue;
    const body = noticeBody.parse(closed.body);
    await audit.record({
      type: 'notice.resolved',
      outcome: 'ok',
      ...mailboxOf(body),
      data: { notice: closed.id, type: body.type, summary: body.summary, mailboxes: body.mailboxes },
    });
  }
  if (gone.length > 0) await store.notices.prune(now - KEEP_MS);
}

/** A link only where it is one mailbox's own matter. */
async function withLink(deps: WatchDeps, body: NoticeBody): Promise<NoticeBody> {
  const [address] = body.mailboxes;
  if (
    address === undefined ||
    body.mailboxCount > 1 ||
    (body.type !== 'grant.needs-consent' && body.type !== 'grant.consent-ending')
  )
    return body;
  const link = await deps.link(address);
  return link === undefined ? body : { ...body, link };
}

function mailboxOf({ mailboxes }: NoticeBody): { mailbox?: string } {
  return mailboxes.length === 1 ? { mailbox: mailboxes[0]! } : {};
}
