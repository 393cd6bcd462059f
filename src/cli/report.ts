/** Findings of a check as lines: one for each step, then what is wrong first and what to do. */
import { systemClock } from '../base/clock.ts';
import { printable } from '../base/printable.ts';
import { styleText } from 'node:util';
import { causeOf, reportOf } from '../check/step.ts';
import type { CheckReport, Finding, FindingOutcome, FirstCause, Subject } from '../check/types.ts';
import { stepText } from '../oauth/catalogue/diagnose.ts';
import type { Blame } from '../oauth/catalogue/schema.ts';
import { exitCodeOfKind } from './exit-code.ts';

/** Who has to act, in words. */
export const BLAMED: Readonly<Record<Blame, string>> = {
  user: 'the owner of the mailbox',
  admin: 'an administrator at the provider',
  operator: 'whoever runs Postern',
  provider: 'the provider',
  program: 'the mail program',
};

const WORDS: Readonly<
  Record<FindingOutcome, { readonly word: string; readonly colour: 'green' | 'yellow' | 'red' | 'dim' }>
> = {
  ok: { word: 'ok', colour: 'green' },
  warning: { word: 'warning', colour: 'yellow' },
  failed: { word: 'failed', colour: 'red' },
  skipped: { word: 'skipped', colour: 'dim' },
};

/** The line of a step and its notes. `styleText` leaves colours out where standard output is no terminal or NO_COLOR is set. */
export function findingLines({ outcome, title, says, notes = [] }: Finding): readonly string[] {
  const { word, colour } = WORDS[outcome];
  const line = `  ${styleText(colour, word.padEnd(8), { stream: process.stdout })} ${title.padEnd(24)} ${printable(says)}`;
  return [line, ...notes.map((note) => `${' '.repeat(13)}- ${printable(note)}`)];
}

/** Says each step of a check as it comes, and the conclusion. @param how `short`: without notes to what did not fail */
export async function tellCheck(
  subject: Subject,
  steps: AsyncIterable<Finding>,
  line: (text: string) => void,
  how: 'short' | 'whole' = 'whole',
): Promise<CheckReport> {
  const findings: Finding[] = [];
  for await (const finding of steps) {
    findings.push(finding);
    findingLines(how === 'short' && finding.outcome !== 'failed' ? { ...finding, notes: [] } : finding).forEach(line);
  }
  const report = reportOf(subject, findings, systemClock.now());
  ['', ...conclusion(report), ''].forEach(line);
  return report;
}

/** The exit code is that of the first failure; the lines have said the rest. */
export function exitAsFound(reports: readonly CheckReport[]): void {
  const failed = reports.flatMap(({ findings }) => findings).find(({ outcome }) => outcome === 'failed');
  if (failed) process.exitCode = exitCodeOfKind(failed.error?.kind ?? 'refused', failed.diagnosis?.passesWhen);
}

export function conclusion(report: CheckReport): readonly string[] {
  const { outcome, first, findings } = report;
  if (!first) {
    const left = findings.filter(leftOut);
    const done = findings.length - left.length;
    if (left.length === 0) return [`Everything works: ${done} steps.`];
    return [`What was looked at works: ${done} steps. Not tried: ${left.map(({ title }) => title).join(', ')}.`];
  }
  return [
    ...(outcome === 'warnings' ? ['Nothing failed, but look at this:'] : []),
    ...causeLines(first),
    ...others(report).flatMap((finding) => causeLines(causeOf(finding))),
  ];
}

function causeLines({ sentence, passesWhen, blame, remedy }: FirstCause): readonly string[] {
  return [
    printable(sentence),
    ...(passesWhen === undefined ? [] : [`  passes  by itself when ${passesWhen}`]),
    `  who     ${BLAMED[blame]}`,
    ...remedy.map((step, index) => `  ${index === 0 ? 'next' : '    '}    ${stepText(step)}`),
  ];
}

/** Whatever else is wrong, each cause once: several steps mostly fail for one. */
function others({ first, findings }: CheckReport): readonly Finding[] {
  const told = new Set([first?.sentence]);
  return findings.filter((finding) => {
    if (finding.step === first?.step || (finding.outcome !== 'warning' && finding.outcome !== 'failed')) return false;
    const { sentence } = causeOf(finding);
    if (told.has(sentence)) return false;
    told.add(sentence);
    return true;
  });
}

/** A step that would have shown whether a program gets in. A connection that a proxy makes is none. */
const leftOut = ({ outcome, step }: Finding): boolean => outcome === 'skipped' && step.endsWith('sign-in');

export function nameOf(subject: Subject): string {
  return subject.type === 'mailbox' ? subject.address : `installation ${subject.home}`;
}

/** Where the database does not open nobody knows whether there are any. */
function noMailboxes(reports: readonly CheckReport[]): string {
  const findings = reports.flatMap((report) => report.findings);
  const closed = findings.some(({ step, outcome }) => step === 'home.database' && outcome === 'failed');
  return closed
    ? 'Which mailboxes there are cannot be read: the database or its key does not open, see below.'
    : 'There are no mailboxes.';
}

/** Several reports in short: how many work, then the steps and the advice of those where something is wrong. */
export function overview(reports: readonly CheckReport[]): readonly string[] {
  const mailboxes = reports.filter(({ subject }) => subject.type === 'mailbox');
  const count = (outcome: CheckReport['outcome']): number => mailboxes.filter((one) => one.outcome === outcome).length;
  const partly = mailboxes.filter(({ outcome, findings }) => outcome === 'ok' && findings.some(leftOut)).length;
  const whole = count('ok') - partly;
  const parts = [
    `${whole} ${whole === 1 ? 'works' : 'work'}`,
    ...(partly === 0 ? [] : [`${partly} ${partly === 1 ? 'works' : 'work'} as far as could be tried (no sign-in)`]),
    ...(count('warnings') === 0
      ? []
      : [`${count('warnings')} ${count('warnings') === 1 ? 'works' : 'work'} with warnings`]),
    ...(count('failed') === 0 ? [] : [`${count('failed')} ${count('failed') === 1 ? 'does' : 'do'} not work`]),
  ];
  const wrong = reports.filter(({ outcome }) => outcome !== 'ok');
  return [
    ...(reports.some(({ subject, outcome }) => subject.type === 'installation' && outcome === 'ok')
      ? ['The installation works.']
      : []),
    mailboxes.length === 0
      ? noMailboxes(reports)
      : `Of ${mailboxes.length} ${mailboxes.length === 1 ? 'mailbox' : 'mailboxes'} ${parts.join(', ')}.`,
    ...[...Map.groupBy(wrong, sameTrouble).values()].flatMap((same) => ['', ...trouble(same)]),
    '',
    'Every step: postern check ADDRESS, or postern check --details',
  ];
}

const isWrong = ({ outcome }: Finding): boolean => outcome === 'warning' || outcome === 'failed';

/** The same for reports that say the same of different mailboxes: which steps, why, and what to do. Times and ids in replies may differ. */
function sameTrouble(report: CheckReport): string {
  const steps = report.findings.filter(isWrong).map(({ step, outcome }) => `${outcome} ${step}`);
  return ofEach(report.subject, [report.subject.type, ...steps, ...conclusion(report)]).join('\n');
}

/** Mailboxes that are named in one line. */
const MAX_NAMED = 5;
const EACH = 'ADDRESS';

/** What is wrong with one, or with several mailboxes in the same way. */
function trouble([report, ...others]: readonly CheckReport[]): readonly string[] {
  const { subject, findings } = report!;
  const lines = [...findings.filter(isWrong).flatMap(findingLines), ...conclusion(report!)];
  if (others.length === 0) return [nameOf(subject), ...lines];
  const names = [report!, ...others].map((one) => nameOf(one.subject));
  const more = names.length - MAX_NAMED;
  const named = `${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? `, and ${more} more: postern mailbox list` : ''}`;
  const shown = ofEach(subject, lines);
  const stands = shown.some((line) => line.includes(EACH)) ? `; ${EACH} stands for each` : '';
  return [`${names.length} mailboxes alike${stands}`, `  ${named}`, ...shown];
}

/** The address that a report is about, where lines have it as a word of its own. */
function ofEach(subject: Subject, lines: readonly string[]): readonly string[] {
  if (subject.type !== 'mailbox') return lines;
  const { address } = subject;
  return lines.map((line) =>
    line.replaceAll(address, (found, at: number) => {
      const after = line.slice(at + found.length, at + found.length + 2);
      const within = /[\w.+@-]/.test(line.charAt(at - 1)) || /^(?:[\w@-]|\.\w)/.test(after);
      return within ? found : EACH;
    }),
  );
}
