/** Defects that no test noticed once. `npm run mutate -- --named` puts each of them in again; a test has to fail. */

export interface NamedMutant {
  /** What goes wrong with it. */
  readonly name: string;
  readonly file: string;
  /** As it stands in the file, once. */
  readonly was: string;
  readonly becomes: string;
}

export const NAMED: readonly NamedMutant[] = [
  {
    name: 'a retry goes to those who have the message, too',
    file: 'src/outbox/deliver/job.ts',
    was: "return this.#message.recipients.filter(({ state }) => state === 'pending');",
    becomes: 'return this.#message.recipients;',
  },
  {
    name: 'what a provider took for some recipients is not written down while others wait',
    file: 'src/outbox/deliver/attempt.ts',
    was: "if (one.state !== 'pending' || !found || found.outcome === 'later') return one;",
    becomes: "if (one.state !== 'pending' || !found || found.outcome !== 'refused') return one;",
  },
  {
    name: 'a recipient that was only put off is given up with those that were refused',
    file: 'src/outbox/deliver/judge.ts',
    was: "if (each.some(({ outcome }) => outcome === 'later'))",
    becomes: 'if (false)',
  },
  {
    name: 'recipients that were put off are given up when others have the message',
    file: 'src/outbox/deliver/attempt.ts',
    was: "if (recipients.some(({ state }) => state === 'pending'))",
    becomes: 'if (false)',
  },
  {
    name: '"not found" is read as "not sent" where no copy is kept',
    file: 'src/outbox/deliver/open-attempt.ts',
    was: "if (!probe || copies === 'never') return outcome;",
    becomes: 'if (!probe) return outcome;',
  },
  {
    name: '"not found" is read as "not sent" where some of the ways keep no copy',
    file: 'src/outbox/deliver/open-attempt.ts',
    was: "if (copies === 'sometimes') return outcome;",
    becomes: '',
  },
  {
    name: 'a route without copies is taken for one with copies',
    file: 'src/outbox/deliver/attempt.ts',
    was: "route.leavesNoCopy === true ? 'never' : 'always'",
    becomes: "'always'",
  },
  {
    name: 'the ways of an interrupted attempt are taken for ways with copies',
    file: 'src/outbox/deliver/attempt.ts',
    was: 'const copies = copiesOf(written);',
    becomes: "const copies = 'always';",
  },
  {
    name: 'a claim does not say which of its ways keep no copy',
    file: 'src/outbox/deliver/doubt.ts',
    was: '(leavesNoCopy === true ? `${name}${NO_COPY}` : name)',
    becomes: 'name',
  },
  {
    name: 'messages are sent on although outcomes cannot be written down',
    file: 'src/outbox/deliver/delivery.ts',
    was: ' && !unsettled.failed',
    becomes: '',
  },
  {
    name: 'the failure to write an outcome down is forgotten',
    file: 'src/outbox/deliver/settle.ts',
    was: '(this.#failure ??= { error })',
    becomes: '({ error })',
  },
  {
    name: 'any number of attempts may be without a written outcome',
    file: 'src/outbox/deliver/settle.ts',
    was: 'while (this.#pending.size >= MAX_UNSETTLED)',
    becomes: 'while (false)',
  },
  {
    name: 'a day has no limit of recipients',
    file: 'src/outbox/deliver/pace.ts',
    was: 'if (mostToday !== undefined) {',
    becomes: 'if (false) {',
  },
  {
    name: 'delivery asks for one recipient whatever the message has',
    file: 'src/outbox/deliver/delivery.ts',
    was: "const recipients = first.recipients.filter(({ state }) => state === 'pending').length;",
    becomes: 'const recipients = 1;',
  },
  {
    name: 'a mailbox with a limit for the day alone is emptied in batches that count as one message',
    file: 'src/outbox/deliver/delivery.ts',
    was: ' && limits.recipientsPerDay === undefined ? BATCH : 1',
    becomes: ' ? BATCH : 1',
  },
  ...(['seq', 'at', 'type', 'outcome', 'sessionId', 'mailbox', 'data'] as const).map((field) => ({
    name: `the hash of an audit record does not cover ${field}`,
    file: 'src/store/chain.ts',
    was: 'canonical({ seq, at, type, outcome, sessionId, mailbox, data })',
    becomes: `canonical({ ...{ seq, at, type, outcome, sessionId, mailbox, data }, ${field}: undefined })`,
  })),
  {
    name: 'a revoked API key is remembered for ever',
    file: 'src/store/remembered.ts',
    was: 'if (found && clock.now() - found.at < trustMs) return found.row;',
    becomes: 'if (found) return found.row;',
  },
  {
    name: 'word of a revoked API key does not empty the memory',
    file: 'src/store/remembered.ts',
    was: '    known.clear();\n  });',
    becomes: '  });',
  },
  {
    name: 'what was revoked is let in when it is read again',
    file: 'src/access/validity.ts',
    was: "if (revokedAt !== undefined) return 'revoked';",
    becomes: '',
  },
  {
    name: 'a revoked API key goes on in what lasts longer',
    file: 'src/access/api-sign-in.ts',
    was: "return key !== undefined && validityOf(key, this.#clock.now()) === 'valid' ? key : undefined;",
    becomes: 'return key;',
  },
  {
    name: 'a session is reused by another user of the provider',
    file: 'src/gateway/reuse.ts',
    was: '    one.user === other.user &&\n',
    becomes: '',
  },
  {
    name: 'an app password is revoked while the OK is being written, and the session begins',
    file: 'src/gateway/session.ts',
    was: 'now.gone.signal.throwIfAborted(); // revoked while the OK was being written',
    becomes: '',
  },
  {
    name: 'the lease of a slow renewal is not prolonged',
    file: 'src/oauth/renewal.ts',
    was: 'await deps.store.leases.renew(lease, LEASE_MS);',
    becomes: '',
  },
  {
    name: 'the lease of a renewal is prolonged once only',
    file: 'src/oauth/renewal.ts',
    was: 'if (!stopped) timer = deps.clock.after(PROLONG_MS, start);',
    becomes: '',
  },
  {
    name: 'the claim to a message is prolonged in the table only',
    file: 'src/outbox/deliver/claims.ts',
    was: 'if (ours.has(id)) claim.prolong(now);',
    becomes: 'if (ours.has(id)) continue;',
  },
  {
    name: 'the claim to a message is prolonged in this process only',
    file: 'src/outbox/deliver/claims.ts',
    was: 'await outbox.prolong(owner, ids, now + CLAIM_MS)',
    becomes: 'await Promise.resolve([outbox, owner, ...ids])',
  },
  {
    name: 'a new master key is not proven to open the vault',
    file: 'src/vault/open.ts',
    was: 'await unlock(replaced, next);',
    becomes: '',
  },
];
