/** What became of mail, by the provider's own log of transactions, by the mailboxes, and by the reports to the sender. */
import type { Sandbox } from '../../src/sandbox/index.ts';
import { openStore } from '../../src/store/open.ts';
import { ALICE, BOB } from './mail-site.ts';

export interface Letter {
  readonly text: string;
  readonly to: readonly string[];
}

/** A transaction that the provider took. */
export interface Taken {
  readonly place: 'smtp' | 'graph';
  readonly text: string;
  readonly recipients: readonly string[];
}

export interface Judged {
  readonly transactions: number;
  readonly byGraph: number;
  /** Recipients of the largest one. */
  readonly largest: number;
  /** Recipients of all letters, and how many of those got theirs more often than once. */
  readonly recipients: number;
  readonly twice: number;
  readonly reported: number;
  /** Neither taken for them nor reported. */
  readonly lost: readonly string[];
  /** Called delivered, and not taken. */
  readonly untrue: readonly string[];
  /** Taken for somebody it was not for. */
  readonly astray: readonly string[];
  /** The log and the mailboxes do not agree: the judge itself is wrong. */
  readonly disagreeing: readonly string[];
}

const textOf = (raw: Buffer): string | undefined => /letter \d+\.\d+ end(?=\r\n$)/.exec(raw.toString('latin1'))?.[0];

/** From now on, every transaction with a letter in it. */
export function keepLog({ mailStore }: Sandbox): readonly Taken[] {
  const log: Taken[] = [];
  mailStore.takers.add(({ place, raw, recipients }) => {
    const text = textOf(raw);
    if (text !== undefined) log.push({ place, text, recipients });
  });
  return log;
}

export async function judge(
  sandbox: Sandbox,
  database: string,
  known: ReadonlyMap<string, Letter>,
  log: readonly Taken[],
): Promise<Judged> {
  const taken = new Tally();
  for (const { recipients, text } of log) for (const to of recipients) taken.add(`${to} ${text}`);
  const got = gotIn(sandbox);
  const reports = new Set(
    sandbox.mailStore.find(ALICE)!.inbox.messages.flatMap(({ raw }) => reportedIn(raw.toString('latin1'))),
  );
  const lost: string[] = [];
  const untrue: string[] = [];
  let [recipients, twice, reported] = [0, 0, 0];
  const store = await openStore(database);
  try {
    for (const [id, { text, to }] of known) {
      const states = new Map((await store.outbox.find(id))?.recipients.map(({ address, state }) => [address, state]));
      for (const address of to) {
        const key = `${address} ${text}`;
        const times = taken.of(key);
        recipients += 1;
        if (times > 1) twice += 1;
        if (reports.has(key)) reported += 1;
        if (times === 0 && !reports.has(key)) lost.push(`${id} ${key}`);
        if (times === 0 && states.get(address) === 'delivered') untrue.push(`${id} ${key}`);
      }
    }
  } finally {
    await store.close();
  }
  const meant = new Map([...known.values()].map(({ text, to }) => [text, new Set(to)]));
  return {
    transactions: log.length,
    byGraph: log.filter(({ place }) => place === 'graph').length,
    largest: Math.max(0, ...log.map((one) => one.recipients.length)),
    recipients,
    twice,
    reported,
    lost,
    untrue,
    // Taken in although the acknowledgement was cut off: not known here, and not astray.
    astray: log.flatMap(({ recipients: some, text }) =>
      some.filter((to) => meant.get(text)?.has(to) === false).map((to) => `${to} ${text}`),
    ),
    disagreeing: [...new Set([...taken.keys(), ...got.keys()])].filter((key) => taken.of(key) !== got.of(key)),
  };
}

class Tally {
  readonly #counts = new Map<string, number>();

  add(key: string): void {
    this.#counts.set(key, this.of(key) + 1);
  }

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  keys(): Iterable<string> {
    return this.#counts.keys();
  }
}

function gotIn({ mailStore }: Sandbox): Tally {
  const got = new Tally();
  const note = (to: string, raw: Buffer): void => {
    const text = textOf(raw);
    if (text !== undefined) got.add(`${to} ${text}`);
  };
  for (const { raw } of mailStore.find(BOB)!.inbox.messages) note(BOB, raw);
  for (const { raw, to } of mailStore.outside) for (const one of to) note(one, raw);
  return got;
}

/** Whom a report tells of, and which letter. */
function reportedIn(report: string): readonly string[] {
  const text = /letter \d+\.\d+ end/.exec(report)?.[0];
  return report
    .split('\r\n\r\n')
    .filter((block) => block.includes('Action: failed'))
    .map((block) => `${/Final-Recipient: rfc822; ?(\S+)/.exec(block)?.[1] ?? 'nobody'} ${text ?? ''}`);
}
