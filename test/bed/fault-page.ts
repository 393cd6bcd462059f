/** docs/faults.md: each fault of the tenant, what mail programs and commands say of it, and what to do. */
import type { CatalogueRow } from '../../src/oauth/catalogue/schema.ts';
import type { Fault } from '../../src/sandbox/index.ts';
import type { Protocol } from '../../src/store/protocols.ts';
import type { Met } from './fault-bed.ts';

export interface SeenFault {
  readonly fault: Fault;
  /** The row of the catalogue that was found. */
  readonly row: CatalogueRow;
  readonly programs: Partial<Readonly<Record<Protocol, Met>>>;
  /** `explain`: a check meets nothing; the reply or code itself is explained. */
  readonly command: 'check' | 'explain' | 'mailbox add';
}

const WHO = {
  user: 'the owner',
  admin: 'an administrator',
  operator: 'whoever runs Postern',
  provider: 'the provider',
  program: 'the mail program',
} as const;

export function faultPage(seen: readonly SeenFault[], remedyOf: (row: CatalogueRow) => readonly string[]): string {
  return [
    '# Faults, and what Postern makes of them',
    '<!-- Made by test/stories/faults.test.ts from a run against the sandbox; do not edit. -->',
    '',
    'Each row was provoked in the [sandbox](sandbox.md) (`postern sandbox fault set NAME`), met by a mail program on each protocol it',
    'concerns, and looked into from the command line. A dash: the program notices nothing. *ends*, *silent*: the connection does,',
    'as it does at the provider. Where a check cannot meet a fault, because it sends nothing, `postern explain` takes the reply.',
    'Causes and remedies are rows of the catalogue (`postern explain ROW`).',
    '',
    '| fault | IMAP | POP3 | SMTP | command | row | cause | who acts | passes |',
    '|---|---|---|---|---|---|---|---|---|',
    ...seen
      .map(({ fault, row, programs, command }) =>
        [
          `\`${fault.id}\``,
          ...(['imap', 'pop3', 'smtp'] as const).map((protocol) => met(programs[protocol])),
          `\`${command}\``,
          `\`${row.id}\``,
          row.cause.replaceAll('{host}', 'the server'),
          WHO[row.blame],
          row.passesWhen === undefined ? 'no' : 'yes',
        ].join(' | '),
      )
      .map((line) => `| ${line} |`),
    '',
    '## What to do',
    '',
    ...[...new Map(seen.map(({ row }) => [row.id, row])).values()]
      .sort((a, b) => a.id.localeCompare(b.id))
      .flatMap((row) => [
        `- \`${row.id}\`: ${remedyOf(row).join('; ')}${row.passesWhen === undefined ? '' : ` (passes when ${row.passesWhen})`}`,
      ]),
    '',
  ].join('\n');
}

/** Only what is the same in every run: the status and its codes, not ids, ports and times. */
function met(one: Met | undefined): string {
  if (one === undefined) return '';
  if (one.type === 'works') return '–';
  if (one.type !== 'reply') return `*${one.type === 'ended' ? 'ends' : 'silent'}*`;
  const code =
    /^[a-c] (?:NO|BAD)(?: \[\w+\])?/.exec(one.line)?.[0].slice(2) ??
    /^\* BYE(?: \[\w+\])?/.exec(one.line)?.[0] ??
    /^-ERR(?: \[[\w/-]+\])?/.exec(one.line)?.[0] ??
    /^\d{3}(?: \d\.\d+\.\d+)?/.exec(one.line)?.[0] ??
    one.line.slice(0, 20);
  return `\`${code}\``;
}
