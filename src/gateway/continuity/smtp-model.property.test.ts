/**
 * Whatever octets a program sends, and however a server reads them and answers, no server comes to have a message of another sender.
 * The model servers share no code with what is judged: each reads lines and words in its own way, and runs what it takes for commands.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import process from 'node:process';
import { mailRules } from '../mail-rules.ts';
import { SmtpDialogue } from './smtp-dialogue.ts';

const OWNER = 'alice@x.test';
const RUNS = Number(process.env['POSTERN_SOAK_RUNS'] ?? 800);
const SEED = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);

const rules = mailRules(() => ({
  address: OWNER,
  settings: {},
  grantId: 'g',
  access: 'own',
  protocols: ['smtp'],
  createdAt: 0,
}));

type Random = () => number;

function randomOf(seed: number): Random {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** How one server reads. */
interface Reading {
  /** What separates words for it. */
  readonly words: RegExp;
  /** It takes a bare LF for the end of a line. */
  readonly bareLf: boolean;
  /** It leaves octets 0 out of a text. */
  readonly dropsNul?: boolean;
  /** It looks past blanks before a command. */
  readonly indented: boolean;
  /** What it does with a size of BDAT that is no number. */
  readonly lenientSize: boolean;
  /**
   * How often it answers in the middle of a chunk or text, and whether it reads on to its end. Another throws away what is on its way,
   * and takes for commands what comes when its answer is known.
   */
  readonly early: number;
  readonly readsOn: boolean;
}

const STRICT: Reading = { words: / +/, bareLf: false, indented: false, lenientSize: false, early: 0, readsOn: true };
const READINGS: readonly Reading[] = [
  STRICT,
  { ...STRICT, bareLf: true },
  { ...STRICT, words: /[ \t]+/, indented: true },
  { ...STRICT, words: /[\s\0]+/, indented: true, lenientSize: true, bareLf: true },
  { ...STRICT, bareLf: true, dropsNul: true },
  { ...STRICT, early: 0.2 },
  { ...STRICT, words: /\s+/, early: 0.2, readsOn: false },
];

class Server {
  readonly taken: { readonly sender: string; readonly text: string }[] = [];
  readonly #reading: Reading;
  readonly #random: Random;
  #input = '';
  #mode: 'command' | 'text' | 'chunk' | 'skip' | 'refused' | 'deaf' = 'command';
  #left = 0;
  #last = false;
  #sender: string | undefined;
  #recipients = 0;
  #text = '';

  constructor(reading: Reading, random: Random) {
    this.#reading = reading;
    this.#random = random;
  }

  /** @returns its replies */
  hears(octets: Buffer): string {
    if (this.#mode === 'deaf') return '';
    this.#input += octets.toString('latin1');
    let out = '';
    for (let reply = this.#step(); reply !== undefined; reply = this.#step()) out += reply;
    return out;
  }

  /** All it said has arrived. */
  delivered(): void {
    if (this.#mode === 'deaf') this.#mode = 'command';
  }

  #step(): string | undefined {
    if (this.#mode === 'deaf') return undefined;
    if (this.#mode === 'chunk' || this.#mode === 'skip') {
      const part = this.#input.slice(0, this.#left);
      this.#input = this.#input.slice(part.length);
      this.#left -= part.length;
      if (this.#mode === 'chunk') this.#text += part;
      if (this.#left > 0) return this.#early();
      if (this.#mode === 'skip') {
        this.#mode = 'command';
        return '';
      }
      this.#mode = 'command';
      return this.#last ? this.#done() : '250 chunk\r\n';
    }
    const line = this.#line();
    if (line === undefined) return this.#mode === 'text' ? this.#early() : undefined;
    if (this.#mode === 'refused') {
      if (line === '.') this.#mode = 'command';
      return '';
    }
    if (this.#mode === 'text') {
      if (line === '.') {
        this.#mode = 'command';
        return this.#done();
      }
      this.#text += `${line.startsWith('.') ? line.slice(1) : line}\r\n`;
      return '';
    }
    return this.#command(this.#reading.indented ? line.replace(/^[ \t]+/, '') : line);
  }

  #line(): string | undefined {
    if (this.#mode === 'text' && this.#reading.dropsNul === true) this.#input = this.#input.replaceAll('\0', '');
    const end = this.#reading.bareLf ? this.#input.indexOf('\n') : this.#input.indexOf('\r\n');
    if (end === -1) return undefined;
    const line = this.#input.slice(0, end).replace(/\r$/, '');
    this.#input = this.#input.slice(this.#input.indexOf('\n', end) + 1);
    return line;
  }

  #early(): string | undefined {
    if (this.#random() >= this.#reading.early) return undefined;
    this.#sender = undefined;
    if (!this.#reading.readsOn) {
      this.#mode = 'deaf';
      this.#input = '';
    } else this.#mode = this.#mode === 'text' ? 'refused' : 'skip';
    return this.#random() < 0.5 ? '552 too much\r\n' : '421 going\r\n';
  }

  #done(): string {
    const sender = this.#sender;
    this.#sender = undefined;
    if (sender === undefined || this.#recipients === 0) return '503 no\r\n';
    this.taken.push({ sender, text: this.#text });
    return '250 taken\r\n';
  }

  #command(line: string): string {
    const [verb = '', ...rest] = line.split(this.#reading.words);
    switch (verb.toUpperCase()) {
      case 'EHLO':
        this.#sender = undefined;
        return '250-x\r\n250 CHUNKING\r\n';
      case 'RSET':
        this.#sender = undefined;
        return '250 reset\r\n';
      case 'MAIL': {
        if (this.#sender !== undefined) return '503 nested\r\n';
        const path = /FROM: *<?([^<>]*)>?/i.exec(rest.join(' '))?.[1];
        if (path === undefined) return '501 no\r\n';
        this.#sender = path;
        this.#recipients = 0;
        this.#text = '';
        return '250 sender\r\n';
      }
      case 'RCPT':
        if (this.#sender === undefined) return '503 no\r\n';
        this.#recipients += 1;
        return '250 recipient\r\n';
      case 'DATA':
        if (this.#sender === undefined || this.#recipients === 0) return '503 no\r\n';
        this.#mode = 'text';
        return '354 go\r\n';
      case 'BDAT': {
        const size = this.#reading.lenientSize ? Number.parseInt(rest[0] ?? '', 10) : Number(rest[0] ?? Number.NaN);
        if (!Number.isSafeInteger(size) || size < 0) return '501 no\r\n';
        this.#left = size;
        this.#last = rest[1]?.toUpperCase() === 'LAST';
        this.#mode = this.#sender === undefined ? 'skip' : 'chunk';
        return this.#sender === undefined ? '503 no\r\n' : '';
      }
      case 'NOOP':
      case 'QUIT':
        return '250 ok\r\n';
      default:
        return '500 unknown\r\n';
    }
  }
}

const SEPARATORS = [' ', '  ', '\t', '\xa0', '\x0b', '\x0c', '\0', '\x85', '\x1f', '\r', ''];
const ENDS = ['\r\n', '\r\n', '\r\n', '\n', '\r', '\x0b\r\n', ' \r\n'];
const FOREIGN = 'MAIL FROM:<ceo@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nFrom: ceo@x.test\r\n\r\nsmuggled\r\n.\r\n';
/** Without an empty line: as the text of a message it is the beginning of a header. */
const SMUGGLED = 'RSET\r\nMAIL FROM:<ceo@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nFrom: ceo@x.test\r\n.\r\n';
const HEADER = `From: ${OWNER}\r\nSubject: x\r\n\r\n`;

/** Something a program may say. */
function saying(random: Random): string {
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
  const odd = (): string => (random() < 0.25 ? pick(SEPARATORS) : ' ');
  const end = (): string => (random() < 0.15 ? pick(ENDS) : '\r\n');
  const text = pick([
    HEADER,
    `${HEADER}body\r\n`,
    FOREIGN,
    SMUGGLED,
    SMUGGLED,
    'From: ceo@x.test\r\n\r\nsmuggled\r\n',
    'From:',
    `.\r\n${FOREIGN}`,
    `${HEADER}body\r\n\0.\r\n${FOREIGN}`,
    `${HEADER}body\r\n.\0\r\n${FOREIGN}`,
    `${HEADER}${'x'.repeat(50)}${SMUGGLED}`,
  ]);
  return pick([
    () => `MAIL${odd()}FROM:<${random() < 0.8 ? OWNER : 'ceo@x.test'}>${end()}`,
    () => `MAIL${odd()}FROM:<${random() < 0.7 ? OWNER : 'ceo@x.test'}>${end()}RCPT${odd()}TO:<b@y.test>${end()}`,
    () => `MAIL FROM:<${OWNER}>\r\nRCPT TO:<b@y.test>\r\n`,
    () => `RCPT${odd()}TO:<b@y.test>${end()}`,
    () => `DATA${random() < 0.2 ? odd() : ''}${end()}`,
    () => `DATA${end()}${text}.\r\n`,
    () => text,
    () => `.${end()}`,
    () =>
      `BDAT${odd()}${text.length + (random() < 0.2 ? Math.floor(random() * 9) - 4 : 0)}${random() < 0.5 ? `${odd()}LAST` : ''}${end()}${text}`,
    () => `BDAT${odd()}0 LAST${end()}`,
    () => `RSET${end()}`,
    () => `EHLO${odd()}x${end()}`,
    () => `${odd()}NOOP${odd()}${end()}`,
    () => `NOOP${odd()}${FOREIGN}`,
  ])();
}

/** @returns what every server took */
function play(seed: number, reading: Reading): Server['taken'] {
  const random = randomOf(seed);
  const dialogue = new SmtpDialogue(rules, random() < 0.8 ? ['CHUNKING'] : []);
  const servers = [new Server(reading, random)];
  const next = (): void => {
    servers.push(new Server(reading, random));
    dialogue.restart(['CHUNKING']);
  };
  /** Replies that have not come yet. */
  let due = '';
  const toServer = (octets: Buffer): void => {
    if (!dialogue.refusing && octets.length > 0) due += servers.at(-1)!.hears(octets);
  };
  /** @returns false when the session is over */
  const say = (octets: Buffer): boolean => {
    for (let bytes: Buffer | undefined = octets; bytes !== undefined;) {
      const { pass, cut, rest } = dialogue.fromClient(bytes);
      if (rest === undefined) toServer(pass);
      else {
        due = '';
        next();
      }
      if (cut !== undefined) return false;
      bytes = rest;
    }
    return true;
  };
  /** @returns false when the session is over */
  const answer = (): boolean => {
    const whole = random() < 0.8 ? due.length : Math.floor(random() * due.length);
    const replies = due.slice(0, whole);
    due = due.slice(whole);
    dialogue.fromServer(Buffer.from(replies, 'latin1'));
    if (due === '') servers.at(-1)!.delivered();
    if (dialogue.refusing) due = '';
    while (dialogue.waiting) if (!say(dialogue.takeEarly())) return false;
    return true;
  };
  for (let turns = 0; turns < 25; turns++) {
    if (random() < 0.6) {
      const octets = Buffer.from(saying(random), 'latin1');
      const at = random() < 0.4 ? Math.floor(random() * octets.length) : octets.length;
      if (!say(octets.subarray(0, at))) break;
      if (at < octets.length && ((random() < 0.6 && !answer()) || !say(octets.subarray(at)))) break;
    }
    if (random() < 0.7 && !answer()) break;
    dialogue.takeEnded();
    assert.ok(dialogue.held < 2 ** 20 && typeof dialogue.idle === 'boolean');
  }
  return servers.flatMap(({ taken }) => taken);
}

test(`A50, A51: no server takes a message of another sender, and no answer breaks the dialogue (seed ${SEED})`, (t) => {
  let taken = 0;
  for (let run = 0; run < RUNS; run++)
    for (const [index, reading] of READINGS.entries()) {
      const seed = SEED + run * READINGS.length + index;
      for (const { sender, text } of play(seed, reading)) {
        taken += 1;
        const foreign = sender !== OWNER || /^\.?From: *ceo/im.test(text.slice(0, text.indexOf('\r\n\r\n')));
        assert.ok(!foreign, `FUZZ_SEED=${seed}, reading ${index}: ${JSON.stringify({ sender, text })}`);
      }
    }
  t.diagnostic(`${taken} messages were taken`);
  assert.ok(taken > RUNS / 10);
});
