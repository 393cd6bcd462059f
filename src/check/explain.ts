/** `postern explain`: any code, reply or topic in plain words; pure functions over the catalogue and the topics. */
import { shellWord } from '../base/shell.ts';
import type { ErrorRow } from '../base/error.ts';
import { type Hearer, hearersOf, replyTo, SMTP_WAITING } from '../base/replies.ts';
import { describeRow, type Diagnosis, findRow } from '../oauth/catalogue/diagnose.ts';
import { evidenceIn } from '../oauth/catalogue/evidence.ts';
import type { Catalogue, CatalogueRow } from '../oauth/catalogue/schema.ts';
import { editDistance } from '../base/edit-distance.ts';
import { presetById } from '../oauth/providers.ts';
import { codeOfReply, wordsOf } from './own-words.ts';
import { asSentence } from './step.ts';
import { type Topic, topics } from './topics.ts';

export interface Explanation {
  readonly type: 'topic' | 'provider-error' | 'postern-error' | 'own-words' | 'smtp-code' | 'sandbox-fault';
  readonly name: string;
  readonly title: string;
  readonly text: readonly string[];
  readonly commands: readonly string[];
  /** With errors: cause, who acts, what to do. */
  readonly diagnosis?: Diagnosis;
}

/** Every room's table of codes. */
export type ErrorTables = readonly {
  readonly table: Readonly<Record<string, ErrorRow>>;
  /** False where no command ends with these. */
  readonly ends?: false;
}[];

export interface ExplainData {
  readonly catalogue: Catalogue;
  readonly tables: ErrorTables;
  /** What the sandbox can do wrong; their names are seen in tests and reports. */
  readonly faults?: readonly SandboxFault[];
}

export interface SandboxFault {
  readonly id: string;
  readonly title: string;
  readonly stage: string;
  readonly bites: string;
  /** What happens, with the words on the wire. */
  readonly does: string;
}

/** What the query names exactly; empty when it names nothing. The most exact first. */
export function explain(query: string, data: ExplainData): readonly Explanation[] {
  // msmtp puts this before what the server said.
  const asked = query.trim().replace(/^(?:msmtp: )?server message: /i, '');
  const lower = asked.toLowerCase();
  const topic = allTopics(data.catalogue).find(({ name, also }) => name === lower || also.includes(lower));
  const said = codeOfReply(
    asked,
    data.tables.map(({ table }) => table),
  );
  const own = ownError(said ?? lower, data);
  const words = wordsOf(asked);
  // What a server said to us stands in our own reply too; there it is ours that was pasted.
  const row =
    data.catalogue.errors.find(({ id }) => id === lower) ??
    (said === undefined && words === undefined ? findRow(evidenceIn(asked), data.catalogue) : undefined);
  const fault = data.faults?.find(({ id }) => id === lower);
  return [
    ...(topic ? [topicExplanation(topic)] : []),
    ...(fault ? [faultExplanation(fault, data.catalogue)] : []),
    ...(words ? [{ type: 'own-words' as const, ...words }] : []),
    ...(own ? [own] : []),
    ...(row ? [rowExplanation(row, data.catalogue)] : []),
    ...(row || own || words ? [] : smtpExplanations(asked, data.catalogue)),
  ];
}

/** Where the words occur, best first. */
export function searchExplanations(words: string, data: ExplainData): readonly Explanation[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return everything(data)
    .map((one) => ({ one, score: scoreOf(one, wanted) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, MAX_FOUND)
    .map(({ one }) => one);
}

/** Names near to a mistyped one. */
export function suggest(query: string, data: ExplainData): readonly string[] {
  const lower = query.trim().toLowerCase();
  const names = [
    ...allTopics(data.catalogue).flatMap(({ name, also }) => [name, ...also].map((word) => ({ word, name }))),
    ...codes(data).map((name) => ({ word: name, name })),
    ...data.catalogue.errors.map(({ id }) => ({ word: id, name: id })),
  ];
  const near = names
    .map(({ word, name }) => ({
      name,
      distance: editDistance(lower, word) - (word.includes(lower) && lower.length > 2 ? 3 : 0),
    }))
    .filter((one) => one.distance <= Math.max(1, Math.floor(lower.length / 3)))
    .sort((a, b) => a.distance - b.distance)
    .map(({ name }) => name);
  return [...new Set(near)].slice(0, 5);
}

/** The topics, with those made from the catalogue's data. */
export function allTopics(catalogue: Catalogue): readonly Topic[] {
  return [...topics, calendarTopic(catalogue), limitsTopic(catalogue)].sort((a, b) => a.name.localeCompare(b.name));
}

const MAX_FOUND = 10;

function everything(data: ExplainData): readonly Explanation[] {
  return [
    ...allTopics(data.catalogue).map(topicExplanation),
    ...codes(data).flatMap((code) => ownError(code, data) ?? []),
    ...data.catalogue.errors.map((row) => rowExplanation(row, data.catalogue)),
  ];
}

function scoreOf({ name, title, text, diagnosis }: Explanation, wanted: readonly string[]): number {
  const body = [...text, ...(diagnosis?.remedy.map(({ do: what, run }) => `${what} ${run ?? ''}`) ?? [])]
    .join(' ')
    .toLowerCase();
  const heading = `${name} ${title}`.toLowerCase();
  const scores = wanted.map((word) => (heading.includes(word) ? 3 : body.includes(word) ? 1 : 0));
  return scores.includes(0) ? 0 : scores.reduce<number>((sum, score) => sum + score, 0);
}

function codes({ tables }: ExplainData): readonly string[] {
  return tables.flatMap(({ table }) => Object.keys(table));
}

const KINDS = {
  misuse: 'an option, a name or a setting is wrong: whoever runs Postern has to act',
  denied: 'the owner of the mailbox has to sign in or consent',
  refused: 'the other side said no for good; somebody has to change something there',
  later: 'it passes by itself; programs should try again',
  garbled: 'the other side broke its protocol',
  limit: 'one of Postern’s bounds was reached',
  bug: 'a defect in Postern: please report it',
} as const;

/** Codes whose kind alone would name the wrong person. */
const WHO: Readonly<Record<string, string>> = {
  'gateway.wrong-password':
    'the user name or the app password in the mail program is wrong: whoever set it up has to act',
  'gateway.user-name': 'the user name in the mail program is wrong: whoever set it up has to act',
  'api.key': 'the API key is missing or wrong: whoever runs the program that asked has to act',
  'api.forbidden': 'the API key may not do this: whoever runs Postern has to act',
  'tls.failed':
    'programs are told to come again, in case it passes; where it lasts, port or TLS mode of the application are wrong',
  'tls.program': 'the settings, age or trust of the program or device are in the way: whoever set it up has to act',
  'sasl.refused':
    'the server does not let this token into the mailbox: an administrator or the owner of the account has to act',
  'outbox.may-have-arrived': 'nobody can tell whether it arrived: its sender has to ask',
};

function ownError(code: string, { tables, catalogue }: ExplainData): Explanation | undefined {
  const found = tables.find(({ table }) => Object.hasOwn(table, code));
  const row = found?.table[code];
  if (!row) return undefined;
  const about = catalogue.errors.some(({ match }) => match.some((one) => 'ours' in one && one.ours.code === code));
  // The row of the catalogue that is shown beside it says more exactly who has to act and whether it passes.
  const who = WHO[code] ?? (about ? undefined : KINDS[row.kind]);
  return {
    type: 'postern-error',
    name: code,
    title: `Postern’s own code, kind ${row.kind}${who === undefined ? '' : `: ${who}`}`,
    text: [`Next: ${row.hint}`, ...saidOutside(code, row.kind, found?.ends !== false)],
    commands: [],
  };
}

/** What only programs and devices meet ends no command. */
const onlyOutside = (code: string, hearers: readonly Hearer[]): boolean =>
  code === 'tls.program' ||
  hearers.includes('device') ||
  (hearers.length > 0 && /^(?:gateway|api|access)\./.test(code));

/** Met only once the app password was found right: SMTP tells of them behind the sign-in. */
const BEHIND_SIGN_IN: ReadonlySet<string> = new Set([
  'gateway.consent-needed',
  'gateway.provider-refused',
  'gateway.misconfigured',
  'gateway.provider-unreachable',
]);

/** What is really sent, and to whom. */
function saidOutside(code: string, kind: ErrorRow['kind'], ends: boolean): readonly string[] {
  const reply = replyTo({ code, kind });
  const hearers = hearersOf(code);
  const smtp = BEHIND_SIGN_IN.has(code) ? `SMTP ${SMTP_WAITING} in answer to MAIL` : `SMTP ${reply.smtpAuth}`;
  const said = [
    ...(hearers.includes('sign-in')
      ? [`Mail programs are told at the sign-in: IMAP ${reply.imap}, POP3 ${reply.pop3}, ${smtp}.`]
      : []),
    ...(hearers.includes('pop3') ? [`Mail programs are told at the sign-in by POP3: ${reply.pop3}.`] : []),
    ...(hearers.includes('hand-over') ? [`Whoever hands mail over by SMTP is told: ${reply.smtp}.`] : []),
    ...(hearers.includes('device') ? [`The device is told by SMTP: ${reply.smtp}.`] : []),
    ...(hearers.includes('api') ? [`The HTTP API answers ${reply.http}.`] : []),
    ...(ends && !onlyOutside(code, hearers) ? [`Exit code ${reply.exit}.`] : []),
  ];
  return said.length === 0 ? [] : [said.join(' ')];
}

function rowExplanation(row: CatalogueRow, catalogue: Catalogue): Explanation {
  const diagnosis = describeRow(row, {}, catalogue);
  const numbers = row.match.flatMap((match) => ('aadsts' in match ? match.aadsts.map((code) => `AADSTS${code}`) : []));
  const words = row.match.flatMap((match) => {
    if ('oauth' in match)
      return [
        match.oauth.suberror === undefined ? match.oauth.error : `${match.oauth.error} / ${match.oauth.suberror}`,
      ];
    if ('graph' in match) return match.graph.codes;
    return 'reply' in match ? match.reply.examples : [];
  });
  const seen = [...numbers, ...words];
  return {
    type: 'provider-error',
    name: row.id,
    title: asSentence(diagnosis.cause),
    text: seen.length === 0 ? [] : [`Seen as: ${seen.join('; ')}`],
    commands: [],
    diagnosis,
  };
}

function topicExplanation({ name, title, text, commands }: Topic): Explanation {
  return { type: 'topic', name, title, text, commands };
}

/** A fault is explained by what it shows, and by what that means at a real provider where the catalogue knows it. */
function faultExplanation({ id, title, stage, bites, does }: SandboxFault, catalogue: Catalogue): Explanation {
  const shown = does.replaceAll('… ', '').replaceAll(' …', '');
  const row = findRow(evidenceIn(shown), catalogue);
  return {
    type: 'sandbox-fault',
    name: id,
    title: `A fault of the sandbox: ${title}`,
    text: [`Where: ${stage}, ${bites}.`, `What happens: ${does}.`],
    commands: [
      `postern sandbox fault set ${shellWord(id)}`,
      'postern sandbox fault clear',
      ...(row ? [`postern explain ${shellWord(row.id)}`] : []),
    ],
    ...(row ? { diagnosis: describeRow(row, {}, catalogue) } : {}),
  };
}

/** RFC 5321 §4.2.1 and RFC 3463 §3: what the digits say when nobody has written down more, and which known errors carry them. */
function smtpExplanations(query: string, catalogue: Catalogue): readonly Explanation[] {
  const [, code, enhanced] = /^(?:(?:SMTP )?([2-5]\d\d)\b)? ?(?:([2-5]\.\d{1,3}\.\d{1,3})\b)?/i.exec(query) ?? [];
  if (code === undefined && enhanced === undefined) return [];
  const known = catalogue.errors.filter((row) =>
    row.match.some(
      (match) =>
        'reply' in match &&
        match.reply.examples.some(
          (example) =>
            (code === undefined || example.startsWith(code)) &&
            (enhanced === undefined || example.includes(`${enhanced} `)),
        ),
    ),
  );
  // The only one there is: its words need not be asked for.
  if (known.length === 1 && enhanced !== undefined) return [rowExplanation(known[0]!, catalogue)];
  const first = (code ?? enhanced)!.charAt(0);
  const subject = enhanced?.split('.')[1];
  return [
    {
      type: 'smtp-code',
      name: [code, enhanced].filter(Boolean).join(' '),
      title: `SMTP ${[code, enhanced].filter(Boolean).join(' ')}: ${CLASSES[first] ?? 'no class of reply'}`,
      text: [
        ...(subject === undefined
          ? []
          : [`The middle digit ${subject} is about ${SUBJECTS[subject] ?? 'something of its own'} (RFC 3463 §3).`]),
        ...(known.length === 0 ? [] : ['Known with this code, told apart by the words after it:']),
        ...known.map(({ id, cause }) => `- ${id}: ${cause}`),
      ],
      commands: known.slice(0, 3).map(({ id }) => `postern explain ${shellWord(id)}`),
    },
  ];
}

const CLASSES: Readonly<Record<string, string>> = {
  2: 'done',
  3: 'the server waits for more',
  4: 'not now; programs try again by themselves',
  5: 'refused for good; trying again unchanged will not help',
};

const SUBJECTS: Readonly<Record<string, string>> = {
  0: 'nothing more exact',
  1: 'an address',
  2: 'the mailbox',
  3: 'the mail system',
  4: 'the network or routing',
  5: 'the protocol',
  6: 'the content of the message',
  7: 'security or policy',
};

function calendarTopic({ calendar, published, edition }: Catalogue): Topic {
  return {
    name: 'calendar',
    also: ['changes', 'deprecation', 'deprecations', 'dates'],
    title: `What providers change and when (edition ${edition}, ${published})`,
    text: calendar.map(({ date, what, effect }) => `${date}: ${what}; ${effect}.`),
    commands: ['postern check ADDRESS', 'postern update-data FILE'],
  };
}

function limitsTopic({ limits }: Catalogue): Topic {
  return {
    name: 'limits',
    also: ['limit', 'quota', 'throttling', 'rate'],
    title: 'What providers allow',
    text: limits.map(({ presets, what }) => `${presetById(presets[0]!)?.name ?? presets[0]}: ${what}.`),
    commands: ['postern check ADDRESS'],
  };
}
