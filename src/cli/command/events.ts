/** `postern events`: what happened to grants, providers and credentials, as it happens. */
import { printable, printableJson } from '../../base/printable.ts';
import type { AuditType } from '../../audit/types.ts';
import type { AuditRecord } from '../../store/types.ts';
import { withIsoTimes } from '../iso-times.ts';
import { onInterrupt } from '../interrupt.ts';
import { mailboxFilter } from '../mailbox-filter.ts';
import { Subcommand } from '../subcommand.ts';
import { between, count } from '../value.ts';

/** Sign-ins, sessions and ordinary renewals are many and belong to `postern audit show`. */
const SHOWN: ReadonlySet<string> = new Set<AuditType>([
  'consent.started',
  'consent.granted',
  'consent.refused',
  'grant.changed',
  'mailbox.held',
  'mailbox.released',
  'mailbox.suspended',
  'mailbox.resumed',
  'provider.unreachable',
  'provider.recovered',
  'application.added',
  'application.removed',
  'application.credential-added',
  'application.changed',
  'application.credential-changed',
  'application.credential-activated',
  'application.credential-removed',
  'application.credential-refused',
  'mailbox.added',
  'mailbox.moved',
  'mailbox.changed',
  'mailbox.removed',
  'app-password.created',
  'app-password.revoked',
  'notice.raised',
  'notice.resolved',
  'notice.delivered',
  'notice.undeliverable',
  'clock.jumped',
  'server.started',
  'server.stopped',
  'audit.lost',
]);

const LOOK_MS = 500;
const PAGE = 500;

interface EventsOptions {
  readonly follow?: true;
  readonly all?: true;
  readonly mailbox?: string;
  readonly after?: number;
  readonly limit: number;
}

export function events(): Subcommand {
  return new Subcommand('events', 'what became of grants, providers and credentials; the newest last')
    .option('-f, --follow', 'go on with what happens from now on, until stopped')
    .option('--all', 'every audit record: sign-ins, sessions and ordinary renewals too')
    .option('--mailbox <address>', 'only of this mailbox')
    .option('--after <seq>', 'everything after this record; to go on where a program stopped', count)
    .option('-n, --limit <count>', 'how many at most before going on', between(1, 100_000), 50)
    .remark(
      'With --json each event is one JSON value on a line of its own, with the same fields as in the audit log; `seq` grows.',
    )
    .example('postern events --follow --json')
    .runWithInstance(async (context, { store, clock }, options: EventsOptions) => {
      const mailbox = await mailboxFilter(context, { store }, options.mailbox);
      const wanted = (record: AuditRecord): boolean =>
        (options.all === true || SHOWN.has(record.type)) && (mailbox === undefined || concerns(record, mailbox));
      const print = (record: AuditRecord): void => {
        if (context.json) process.stdout.write(`${printableJson(JSON.stringify(withIsoTimes(record)))}\n`);
        else process.stdout.write(`${printable(line(record))}\n`);
      };
      const head = (await store.audit.head())?.seq ?? 0;
      let last = options.after;
      if (last === undefined) {
        // Backwards in pages until there are enough; by type along the index, past any number of sign-ins.
        const found: AuditRecord[] = [];
        const types = options.all ? {} : { types: [...SHOWN] };
        for (let before = head + 1; found.length < options.limit;) {
          const page = await store.audit.latest({ ...types, before, limit: PAGE });
          found.push(...page.filter(wanted));
          if (page.length < PAGE) break;
          before = page.at(-1)!.seq;
        }
        for (const record of found.slice(0, options.limit).toReversed()) print(record);
        if (found.length === 0) context.say('nothing has happened yet');
        last = head;
      }
      using stop = onInterrupt(() => new Error('stopped'), ['SIGINT', 'SIGTERM']);
      for (;;) {
        const page = await store.audit.read(last, PAGE);
        for (const record of page) if (wanted(record)) print(record);
        last = page.at(-1)?.seq ?? last;
        if (page.length === PAGE) continue;
        if (!options.follow || stop.signal.aborted) return;
        await clock.sleep(LOOK_MS, stop.signal).catch(() => undefined);
      }
    });
}

function concerns({ mailbox, data }: AuditRecord, address: string): boolean {
  if (mailbox !== undefined) return mailbox === address;
  const { mailboxes } = data;
  return Array.isArray(mailboxes) && mailboxes.includes(address);
}

/** Time, type, mailbox, and the sentence if there is one. */
function line({ at, type, outcome, mailbox, data }: AuditRecord): string {
  const said = data['summary'] ?? data['reason'] ?? data['code'];
  const rest = Object.entries(data)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value) && value !== said)
    .map(([key, value]) => `${key}=${String(value)}`);
  const words = typeof said === 'string' ? said : '';
  const facts = words === '' ? rest.join(' ') : words;
  const mark = outcome === 'failed' && !type.startsWith('notice.') ? 'failed ' : '';
  return `${new Date(at).toISOString()} ${type} ${mark}${mailbox ?? '-'} ${facts}`.trimEnd();
}
