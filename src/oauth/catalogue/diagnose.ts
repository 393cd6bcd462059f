/** From evidence to cause, blame and remedy: pure functions over the catalogue. */
import { shellWord } from '../../base/shell.ts';
import { type Kind, PosternError } from '../../base/error.ts';
import type { Mailbox } from '../../store/types.ts';
import { catalogue } from './catalogue.ts';
import { type Evidence, evidenceIn, evidenceOf } from './evidence.ts';
import type { Blame, Catalogue, CatalogueRow, Outcome, RemedyStep } from './schema.ts';

/** What stands for `{address}` and the like in remedies; what is not known is written in capitals for the person to fill in. */
export interface Facts {
  readonly address?: string;
  /** The mailbox that commands can change, where that is not the address itself: `*@domain` opened it. */
  readonly row?: string;
  /** Our name of the application. */
  readonly application?: string;
  readonly clientId?: string;
  readonly tenant?: string;
  readonly host?: string;
  /** How the mailbox is opened: steps for another way are left out. */
  readonly access?: Mailbox['access'];
  /** What the mailbox is open for, or is to be: `imap,smtp`. */
  readonly protocols?: string;
  /** Who signed in instead of the mailbox's owner. */
  readonly delegate?: string;
  /** Object id of the application's service principal: of the enterprise application, not of the registration. */
  readonly servicePrincipal?: string;
}

export interface Diagnosis {
  /** Row of the catalogue, or our own code where there is none. */
  readonly id: string;
  /** One plain sentence without a full stop. */
  readonly cause: string;
  readonly blame: Blame;
  /** Absent: it does not pass by itself. */
  readonly passesWhen?: string;
  readonly remedy: readonly RemedyStep[];
  /** Where this is known from. */
  readonly sources: readonly string[];
}

/** The first row that fits the evidence: numbers before words, the mail server's words before our own codes. */
export function findRow(evidence: Evidence, data: Catalogue = catalogue()): CatalogueRow | undefined {
  for (const fits of testsOf(evidence)) {
    const row = data.errors.find((one) => one.match.some(fits));
    if (row) return row;
  }
  return undefined;
}

/** A row with the facts of one case put in. */
export function describeRow(row: CatalogueRow, facts: Facts = {}, data: Catalogue = catalogue()): Diagnosis {
  return {
    id: row.id,
    cause: fill(row.cause, facts),
    blame: row.blame,
    ...(row.passesWhen === undefined ? {} : { passesWhen: row.passesWhen }),
    remedy: fillSteps(row.remedy, facts),
    sources: row.sources.map((tag) => data.sources[tag] ?? tag),
  };
}

const RECIPIENT_UNKNOWN = 'smtp.recipient-unknown';
const MAILBOX_MISSING = 'graph.mailbox-missing';

/** Any failure in plain words. What the catalogue does not know is told by the error itself. */
export function diagnose(error: PosternError, given: Facts = {}): Diagnosis {
  const evidence = evidenceOf(error);
  const { application } = evidence;
  const facts = application === undefined ? given : { application, ...given };
  const found = findRow(evidence);
  // A session is about its mailbox: whoever does not exist there is the mailbox, not a recipient.
  const row = found?.id === RECIPIENT_UNKNOWN ? catalogue().errors.find(({ id }) => id === MAILBOX_MISSING) : found;
  const host = facts.host ?? evidence.host;
  if (row) return describeRow(row, { ...facts, ...(host === undefined ? {} : { host }) });
  const passesWhen = error.kind === 'later' ? whenItPasses(error.code) : undefined;
  return {
    id: error.code,
    cause: error.message,
    blame: OURS.test(error.code) ? 'operator' : BLAME[error.kind],
    ...(passesWhen === undefined ? {} : { passesWhen }),
    remedy: error.hint === '' ? [] : [{ do: fill(withPlaces(error.hint), facts) }],
    sources: [],
  };
}

/** The same error with a next step that names what it is about, where the catalogue has one. */
export function withRemedy(error: PosternError, facts: Facts): PosternError {
  if (!findRow(evidenceOf(error))) return error;
  const { cause, code, detail, kind, message, retryAt } = error;
  const hint = remedyText(diagnose(error, facts).remedy);
  return new PosternError(code, { kind, hint }, message, { detail, cause, ...(retryAt ? { retryAt } : {}) });
}

/** A reply, as somebody kept or typed it, in plain words; undefined when the catalogue does not know it. */
export function diagnoseReply(text: string, facts: Facts = {}): Diagnosis | undefined {
  const row = findRow({ ...evidenceIn(text), ours: [] });
  return row && describeRow(row, facts);
}

/** What a refused token request means for the grant, and what to do; undefined when the catalogue does not know it. */
export function judge(
  evidence: Evidence,
): (Diagnosis & { readonly outcome: Outcome; readonly mayBeLifted: boolean }) | undefined {
  const row = findRow({ ...evidence, ours: [] });
  return row?.outcome === undefined
    ? undefined
    : {
        ...describeRow(row),
        outcome: row.outcome,
        mayBeLifted: row.mayBeLifted === true,
      };
}

/** One line: `do it: command; do that (portal path)`. */
export function remedyText(steps: readonly RemedyStep[]): string {
  return steps.map(stepText).join('; ');
}

export function stepText({ do: what, run, at }: RemedyStep): string {
  return `${what}${run === undefined ? '' : `: ${run}`}${at === undefined ? '' : ` (${at})`}`;
}

/** The same steps with facts put in. */
export function fillSteps(steps: readonly RemedyStep[], facts: Facts): readonly RemedyStep[] {
  const { access } = facts;
  const meant = steps.filter(
    (step) => access === undefined || step.access === undefined || step.access.includes(access),
  );
  return meant.map(({ do: what, run, at }) => ({
    do: fill(what, facts),
    ...(run === undefined ? {} : { run: fill(run, facts) }),
    ...(at === undefined ? {} : { at: fill(at, facts) }),
  }));
}

/** Who acts, when only the kind of an error is known. */
const BLAME: Readonly<Record<Kind, Blame>> = {
  misuse: 'operator',
  denied: 'user',
  refused: 'admin',
  later: 'provider',
  garbled: 'provider',
  limit: 'program',
  bug: 'operator',
};

/** About this machine and this installation, whatever the kind: neither a provider nor a mail program can do anything. */
const OURS = /^(?:access|audit|base|check|cli|home|sandbox|server|store|vault)\./;

function whenItPasses(code: string): string {
  if (['store.full', 'server.disk-full', 'base.disk-full'].includes(code)) return 'there is room on the disk';
  if (code.startsWith('store.') || code.startsWith('server.database')) return 'the database is available again';
  return OURS.test(code) ? 'what stands in the way on this machine is removed' : 'the other side recovers';
}

const UNKNOWN: Readonly<Record<Exclude<keyof Facts, 'row' | 'access'>, string>> = {
  address: 'ADDRESS',
  application: 'NAME',
  clientId: 'CLIENT-ID',
  tenant: 'TENANT',
  host: 'the server',
  protocols: 'imap,pop3,smtp',
  delegate: 'DELEGATE',
  servicePrincipal: 'SERVICE-PRINCIPAL-ID',
};

/** The hints of our own codes are printed as they stand, with capitals for what the reader fills in; where it is known, it is put there. */
function withPlaces(hint: string): string {
  return hint.replace(/(\bpostern application (?:show|set|credential add)) NAME\b/g, '$1 {application}');
}

function fill(text: string, facts: Facts): string {
  return text.replace(
    /\{(address|application|clientId|tenant|host|protocols|delegate|servicePrincipal)\}/g,
    (_, name: keyof typeof UNKNOWN, at: number) =>
      (name === 'address' ? addressFor(text.slice(0, at), facts) : facts[name]) ?? UNKNOWN[name],
  );
}

/** Ours by what they change; the others look at one address. */
const CHANGES_MAILBOX = /\bpostern mailbox (?:reconsent|remove|set|suspend|resume) $/;

/** `*@domain` names a mailbox of ours, and nothing elsewhere: PowerShell would take it for a pattern. */
function addressFor(before: string, { address, row }: Facts): string | undefined {
  // Of the last line alone, so that it is looked at once.
  if (/\bpostern [a-z-]+(?: |$)/.test(before.slice(before.lastIndexOf('\n') + 1))) {
    const named = CHANGES_MAILBOX.test(before) ? (row ?? address) : address;
    return named?.startsWith('*@') === true ? shellWord(named) : named;
  }
  return address?.startsWith('*@') === true ? undefined : address;
}

type Match = CatalogueRow['match'][number];

/** In order of exactness; each is tried against every row before the next. */
function testsOf({
  aadsts = [],
  reply,
  graph,
  sasl,
  oauth,
  ours = [],
}: Evidence): readonly ((match: Match) => boolean)[] {
  const tests: ((match: Match) => boolean)[] = aadsts.map(
    (code) => (match) => 'aadsts' in match && match.aadsts.includes(code),
  );
  if (reply)
    tests.push(
      (match) =>
        'reply' in match && match.reply.protocols.includes(reply.protocol) && fits(match.reply.pattern, reply.text),
    );
  if (graph !== undefined) tests.push((match) => 'graph' in match && match.graph.codes.includes(graph));
  if (sasl !== undefined) tests.push((match) => 'sasl' in match && match.sasl.status.includes(sasl));
  if (oauth) {
    const { error, suberror = '', description = '' } = oauth;
    tests.push((match) => {
      if (!('oauth' in match) || match.oauth.error !== error) return false;
      const wants = match.oauth;
      return (
        (wants.suberror === undefined || wants.suberror === suberror) &&
        (wants.description === undefined || fits(wants.description, description))
      );
    });
  }
  for (const { code, reason } of ours.toReversed())
    tests.push(
      (match) =>
        'ours' in match &&
        match.ours.code === code &&
        (match.ours.reason === undefined || fits(match.ours.reason, reason)),
    );
  return tests;
}

const compiled = new Map<string, RegExp>();

/** Newer editions bring patterns that no test of ours has seen: what they look at is bounded, and no real reply is as long. */
const MAX_LOOKED_AT = 4096;

function fits(pattern: string, text: string): boolean {
  const known = compiled.get(pattern) ?? new RegExp(pattern, 'i');
  compiled.set(pattern, known);
  return known.test(text.slice(0, MAX_LOOKED_AT));
}
