/** What programs do all day at a gateway, each again and again: they sign in, wait for news, move bulk, send. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Serving } from './installation.ts';
import { ALICE, BOB } from './mail-site.ts';
import { TailWire } from './tail-wire.ts';
import { Wire } from './wire.ts';
import { z } from 'zod';
import { said } from './said.ts';

export interface Day {
  readonly serving: Serving;
  /** Mail sent with it goes to the outbox. */
  readonly outboxPassword: string;
  readonly apiKey: string;
  /** Between 0 and 1. */
  readonly random: () => number;
  readonly stop: AbortSignal;
  /** Ids in the outbox by Message-ID, of all that was accepted. */
  readonly accepted: Map<string, string>;
  /** A message arrives in alice's inbox without our doing. */
  arrives(raw: string): Promise<void>;
}

type Program = (day: Day) => Promise<void>;

const APPENDED_OCTETS = 1024 * 1024;
const LINE = `${'x'.repeat(62)}\r\n`;

/** Name, how many of them at a time, and most milliseconds between two of its rounds. */
export const PROGRAMS: readonly (readonly [name: string, count: number, restMs: number, program: Program])[] = [
  ['reads', 3, 400, reads],
  ['idles', 20, 1000, idles],
  ['bulk', 2, 1500, bulk],
  ['pop3', 1, 1000, pop3],
  ['smtp', 1, 1500, smtp],
  ['http', 1, 1500, http],
  ['arrives', 1, 4000, arrives],
];

async function reads(day: Day): Promise<void> {
  const wire = await imap(day);
  try {
    await ask(wire, 'a FETCH 1:5 (FLAGS UID)');
    await ask(wire, 'b NOOP');
    await ask(wire, 'c LOGOUT');
  } finally {
    wire.destroy();
  }
}

async function idles(day: Day): Promise<void> {
  const wire = await imap(day);
  try {
    while (!day.stop.aborted) {
      wire.send('i IDLE\r\n');
      await wire.until(/^\+ .*\r\n/m);
      await delay(2000 + 20_000 * day.random(), undefined, { signal: day.stop }).catch(() => undefined);
      wire.send('DONE\r\n');
      await wire.until(/^i OK .*\r\n/m);
      await ask(wire, 'n NOOP');
    }
    await ask(wire, 'z LOGOUT');
  } finally {
    wire.destroy();
  }
}

/** Reads the largest message, stores one, and deletes it. */
async function bulk({ serving: { door, caPem } }: Day): Promise<void> {
  const wire = await TailWire.open(door.imaps, caPem);
  try {
    await wire.ask('', /^\* OK .*\r\n$/m);
    await wire.ask(`a LOGIN ${door.user} ${door.password}\r\n`, /^a OK .*\r\n$/m);
    await wire.ask('b SELECT Drafts\r\n', /^b OK .*\r\n$/m);
    await wire.ask('c FETCH 1 BODY.PEEK[]\r\n', /^c OK .*\r\n$/m);
    await wire.ask(`d APPEND Archive {${APPENDED_OCTETS}}\r\n`, /^\+ .*\r\n$/m);
    await wire.ask(`${LINE.repeat(APPENDED_OCTETS / LINE.length)}\r\n`, /^d OK .*\r\n$/m);
    await wire.ask('e SELECT Archive\r\n', /^e OK .*\r\n$/m);
    await wire.ask('f STORE 1 +FLAGS.SILENT (\\Deleted)\r\n', /^f OK .*\r\n$/m);
    await wire.ask('g EXPUNGE\r\n', /^g OK .*\r\n$/m);
    await wire.ask('h LOGOUT\r\n', /^h OK .*\r\n$/m);
  } finally {
    wire.destroy();
  }
}

async function pop3({ serving: { door, caPem } }: Day): Promise<void> {
  const wire = await Wire.open(door.pop3s, caPem);
  try {
    await wire.until(/^\+OK .*\r\n/);
    for (const command of [`USER ${door.user}`, `PASS ${door.password}`, 'STAT', 'QUIT']) {
      wire.send(`${command}\r\n`);
      const answer = await wire.until(/^(?:\+OK|-ERR).*\r\n/m);
      if (answer.startsWith('-')) throw new Error(`refused: ${answer}`);
    }
  } finally {
    wire.destroy();
  }
}

async function smtp(day: Day): Promise<void> {
  const { door, caPem } = day.serving;
  const wire = await Wire.open(door.smtps, caPem);
  const expect = async (text: string, code: number): Promise<string> => {
    if (text !== '') wire.send(text);
    const answer = await wire.until(/^\d{3} .*\r\n/m);
    if (!answer.includes(`${code} `)) throw new Error(`refused: ${answer}`);
    return answer;
  };
  try {
    await expect('', 220);
    await expect('EHLO soak.test\r\n', 250);
    await expect(`AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${day.outboxPassword}`).toString('base64')}\r\n`, 235);
    for (let left = 1 + Math.floor(3 * day.random()); left > 0; left--) {
      const { id, text } = letter(day);
      await expect(`MAIL FROM:<${ALICE}>\r\n`, 250);
      await expect(`RCPT TO:<${BOB}>\r\n`, 250);
      await expect('DATA\r\n', 354);
      day.accepted.set(id, / as (\S+)\r\n/.exec(await expect(`${text}.\r\n`, 250))![1]!);
    }
    await expect('QUIT\r\n', 221);
  } finally {
    wire.destroy();
  }
}

async function http(day: Day): Promise<void> {
  const { id, text } = letter(day);
  const response = await fetch(`${day.serving.api}/v1/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${day.apiKey}`, 'content-type': 'message/rfc822' },
    body: text,
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.text();
  if (response.status !== 202) throw new Error(`refused: ${response.status} ${answer}`);
  day.accepted.set(id, said(answer, { id: z.string() }).id);
}

async function arrives(day: Day): Promise<void> {
  await day.arrives(`From: <${BOB}>\r\nTo: <${ALICE}>\r\nSubject: news\r\n\r\nsomething new\r\n`);
}

let letters = 0;
function letter({ random }: Day): { readonly id: string; readonly text: string } {
  const id = `<${(letters += 1)}@soak.test>`;
  // Mostly small, now and then with an attachment.
  const lines = random() < 0.05 ? 4000 : Math.ceil(40 * random());
  return { id, text: `From: <${ALICE}>\r\nTo: <${BOB}>\r\nMessage-ID: ${id}\r\n\r\n${LINE.repeat(lines)}` };
}

async function imap({ serving: { door, caPem } }: Day): Promise<Wire> {
  const wire = await Wire.open(door.imaps, caPem);
  try {
    await wire.until(/^\* OK .*\r\n/m);
    await ask(wire, `s LOGIN ${door.user} ${door.password}`);
    await ask(wire, 't SELECT INBOX');
    return wire;
  } catch (error) {
    wire.destroy();
    throw error;
  }
}

async function ask(wire: Wire, command: string): Promise<void> {
  wire.send(`${command}\r\n`);
  const answer = await wire.until(new RegExp(`^${command[0]!} (?:OK|NO|BAD) .*\\r\\n`, 'm'));
  if (!answer.includes(`${command[0]!} OK `)) throw new Error(`refused: ${answer.slice(-300)}`);
}
