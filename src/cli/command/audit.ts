/** `postern audit`: what happened, and proof that nobody changed the record of it. */
import { lines } from '../../base/lines.ts';
import { printable } from '../../base/printable.ts';
import { type ChainState, isForeign, verifyChain } from '../../audit/verify.ts';
import type { AuditRecord } from '../../store/types.ts';
import { mailboxFilter } from '../mailbox-filter.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { between, ipAddress, since, until } from '../value.ts';

export function audit(): Subcommand {
  return new Subcommand('audit', 'the hash-chained record of consents, tokens, sign-ins and sessions')
    .example('postern audit verify')
    .addCommands(show(), verify());
}

interface ShowOptions {
  readonly type?: string;
  readonly mailbox?: string;
  readonly session?: string;
  readonly password?: string;
  readonly address?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit: number;
}

function show(): Subcommand {
  return new Subcommand('show', 'newest records last')
    .example(
      'postern audit show --mailbox alice@example.com --limit 20',
      'postern audit show --type message.relayed --address 192.0.2.7 --since yesterday',
    )
    .option('--type <type>', 'only these, for example signin.local, token.requested')
    .option('--mailbox <address>', 'only of this mailbox')
    .option('--password <id>', 'only by this app password: postern password list')
    .option('--address <ip>', 'only from this network address', ipAddress)
    .option('--since <when>', 'a day (2026-11-21), a time, yesterday, or how long ago (24h); UTC', since)
    .option('--until <when>', 'the same; of a day its end', until)
    .option('--session <id>', 'only of this session; log lines carry the same id')
    .option('-n, --limit <count>', 'how many at most', between(1, 100_000), 50)
    .runWithInstance(async (context, { store }, options: ShowOptions) => {
      const mailbox = await mailboxFilter(context, { store }, options.mailbox);
      // One more than is shown says whether there are more.
      const found = await store.audit.latest({
        limit: options.limit + 1,
        ...(options.type === undefined ? {} : { type: options.type }),
        ...(mailbox === undefined ? {} : { mailbox }),
        ...(options.password === undefined ? {} : { appPasswordId: options.password }),
        ...(options.address === undefined ? {} : { remoteAddress: options.address }),
        ...(options.since === undefined ? {} : { since: options.since }),
        ...(options.until === undefined ? {} : { until: options.until }),
        ...(options.session === undefined ? {} : { sessionId: options.session }),
      });
      const records = found.slice(0, options.limit);
      // Read after the records: what was written meanwhile is behind the head of before.
      const head = await store.audit.head();
      const ordered = records
        .toReversed()
        .map((record) => (isForeign(record, head) ? { ...record, foreign: true } : record));
      context.result(ordered, ordered.map(line));
      if (ordered.some((record) => 'foreign' in record))
        context.say(
          'records marked NOT-FROM-POSTERN were put into the database by something else: postern audit verify',
        );
      if (found.length > records.length)
        context.say(
          `these are the newest ${records.length}; there are older ones: --limit ${options.limit * 10}, or --until ${new Date(records.at(-1)?.at ?? 0).toISOString()}`,
        );
      if (records.length === 0) context.say('no such record');
    });
}

function verify(): Subcommand {
  return new Subcommand('verify', 'check every link of the chain')
    .example('postern audit verify')
    .runWithInstance(async (context, { store, auditKey }) => {
      const result = await verifyChain(store.audit, auditKey);
      if (result.type === 'broken') {
        context.result(result, []);
        throw cliError('cli.audit-broken', `the audit log is broken at record ${result.seq}: ${result.reason}`, {
          detail: { seq: result.seq },
        });
      }
      context.result(result, [`intact: ${result.records} records, head ${result.head}`, ...remarks(result)]);
    });
}

/** What the chain proves beyond holding together, and what not. */
function remarks({ first, signature }: Extract<ChainState, { type: 'intact' }>): readonly string[] {
  return lines(
    first > 1 && `older than record ${first}: removed because of their age (audit.keepDays)`,
    signature.type === 'unsigned' && [
      'NOT SIGNED: its end proves nothing. Expected once, after an upgrade from a version that did not sign; otherwise somebody who',
      'could write to the database has taken the signature away and may have cut the end or written the log again, and installation.json',
      'beside the database, which remembers the signature, was removed or is new on this machine. Compare with the head or an export',
      'that you kept elsewhere; the next record, for example of `postern serve`, signs whatever is there then',
    ],
    signature.type === 'signed' &&
      (signature.since
        ? `signed by the key of this installation since record ${signature.since.seq}, ${new Date(signature.since.at).toISOString()}; what is before it was not signed when that record was written: expected at the upgrade from a version that did not sign, and at no other time`
        : 'signed by the key of this installation'),
  );
}

function line({ seq, at, type, outcome, mailbox, sessionId, data, ...more }: AuditRecord): string {
  const rest = Object.entries(data)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const words = [
    ...('foreign' in more ? ['NOT-FROM-POSTERN'] : []),
    seq,
    new Date(at).toISOString(),
    type,
    outcome,
    mailbox ?? '-',
    sessionId ?? '-',
    ...rest,
  ];
  return printable(words.join(' '));
}
