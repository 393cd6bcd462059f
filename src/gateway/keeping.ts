/** What a relayed session is kept with. */
import { type Fault, guardedClock } from '../base/guard.ts';
import type { Mailbox } from '../store/types.ts';
import { sessionOf, type UpstreamConnection } from '../upstream/upstream.ts';
import { keeperFor, signInAgain } from './continuity/keeper.ts';
import { type SessionKeeper } from './continuity/session-keeper.ts';
import { mailRules } from './mail-rules.ts';
import type { SessionRecord } from './session-record.ts';
import type { Surroundings } from './surroundings.ts';

/** Keeps the session, as far as the protocol allows, when its token or its server ends. */
export function keeping(
  { deps, hostname, reusable, upstream, wall }: Surroundings,
  record: SessionRecord,
  mailbox: Mailbox,
  connection: UpstreamConnection,
  dropsCopies: boolean,
  fault: Fault,
): SessionKeeper {
  const { protocol } = connection.endpoint;
  const facts = { ...record.facts, mailbox: mailbox.address };
  return keeperFor(protocol, {
    hostname,
    clock: guardedClock(deps.clock, fault),
    wall: guardedClock(wall, fault),
    fault,
    get log() {
      return deps.log.child(facts); // hardly any session has something to say
    },
    signedIn: sessionOf(connection),
    signIn: signInAgain(upstream, deps.signIn, mailbox.address, protocol),
    wantsBack: (now, selected) => reusable.wants(now, selected),
    mail: mailRules(() => deps.signIn.known(mailbox.address) ?? mailbox),
    onMessage: (message) => record.relayed(mailbox.address, message),
    ...(dropsCopies && { keepsCopy: async (copy) => (await deps.sentCopies?.keeps(mailbox, copy)) ?? 'no' }),
    onReturned: (session) =>
      void reusable
        .give(mailbox.address, session)
        .then(() => upstream.ended(mailbox.address))
        .catch(fault),
    onMoved: (cause, { endpoint: { host }, mechanism }, milliseconds) => {
      record.note('session.moved', 'ok', mailbox.address, { host, mechanism, cause, milliseconds });
      deps.log.info({ ...facts, host, cause, milliseconds }, 'session moved to a new connection');
      deps.meter.sessionMoved(cause);
    },
  });
}
