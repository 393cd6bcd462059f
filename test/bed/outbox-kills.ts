/**
 * Killing what accepts and delivers, again and again, and counting afterwards. The processes are real; a program that was not
 * answered sends its message again when it has an Idempotency-Key, and lets it be when it has none.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { openStore } from '../../src/store/open.ts';
import type { MessageEvent, OutboxMessage } from '../../src/store/types-outbox.ts';
import type { Home, Serving } from './installation.ts';
import type { PointCounts, Step } from './kill-plan.ts';
import { ALICE, BOB } from './mail-site.ts';
import { type Ports, SuddenDeath } from './sudden-death.ts';
import { SwiftClock } from './swift-clock.ts';
import { Wire } from './wire.ts';
import { z } from 'zod';
import { said } from './said.ts';

export interface VictimOptions {
  readonly home: Home;
  /** Begins the Message-IDs of this home. */
  readonly name: string;
  /** `sqlite:…` or `postgres://…` */
  readonly database: string;
  readonly ports: Omit<Ports, 'reply'>;
  readonly apiKey: string;
  /** Lets leases run out that go by the database's clock. */
  endLeases?(): Promise<void>;
}

/** What programs were told, by Message-ID. */
export interface Count {
  readonly acknowledged: Set<string>;
  /** Without an answer and without a key: it arrives or not. */
  readonly unanswered: Set<string>;
  /** Sent more than once by the program because the answer was missing. */
  readonly repeated: Set<string>;
}

type Way = 'smtp' | 'http';

interface Letter {
  readonly way: Way;
  readonly id: string;
  /** Has an Idempotency-Key, and is sent again until it is answered. */
  readonly keyed: boolean;
  readonly octets: number;
}

/** The process's time goes so many times faster than ours, so that looking into what was under way takes little. */
const PACE = 8;
/** Claims of the dead run out after a minute. */
const LEAP_MS = 61_000;
const SMALL = 2_000;
/** Several chunks. */
const LARGE = 600_000;
const ROUND_MS = 20_000;
/** A last process has so long to send what is due. */
const EMPTY_MS = 6_000;
/** More than the longest wait between two attempts; all of them together are well below the deadline of a message. */
const HOUR_MS = 75 * 60_000;
const MAX_HOURS = 12;

/** One home whose process is killed again and again. */
export class Victim {
  readonly count: Count = { acknowledged: new Set(), unanswered: new Set(), repeated: new Set() };
  readonly #options: VictimOptions;
  readonly #death: SuddenDeath;
  readonly #clock = new SwiftClock(PACE);
  readonly #again: Letter[] = [];
  #serving: Serving | undefined;
  #letters = 0;
  #steps = 0;

  constructor(options: VictimOptions) {
    this.#options = options;
    this.#death = new SuddenDeath(options.home.path);
  }

  /** Lets the process come to the point of a step, or finds that it has no such point. */
  async round(step: Step): Promise<'killed' | 'survived'> {
    const { ports } = this.#options;
    if (step.type === 'point' && step.workload === 'start') return this.#atStart(step);
    const serving = await this.#serve();
    const way = this.#wayOf(step);
    const reply = way === 'http' ? Number(new URL(serving.api).port) : serving.door.smtp.port;
    if (step.type === 'point') this.#death.arm(step.point, step.moment, step.nth, { ...ports, reply });
    const workload = step.type === 'time' ? 'stream' : step.workload;
    if (workload === 'stream') {
      const end = step.type === 'time' ? step.afterMs : ROUND_MS;
      const sessions = (['smtp', 'http'] as const).map((one) => this.#session(serving, Infinity, SMALL, one));
      for (const until = performance.now() + end; serving.running && performance.now() < until;) await delay(2);
      const died = !serving.running;
      await serving.kill();
      await Promise.all(sessions);
      return this.#buried(serving, step.type === 'time' || died);
    }
    const answered = await this.#sendOne(serving, workload === 'large' ? LARGE : SMALL, way);
    const died = !answered || this.#death.fired || !serving.running;
    this.#death.disarm();
    // The next one must find a process that has everything before it.
    return this.#buried(serving, died);
  }

  /** Every third message comes by HTTP, whose only reply is the last one; what is written of it is the same. */
  #wayOf(step: Step): Way {
    const one = step.type === 'point' && (step.point !== 'reply' || step.nth === 1);
    return one && this.#steps++ % 3 === 2 ? 'http' : 'smtp';
  }

  /** How many points of each kind one message passes. */
  async measure(): Promise<PointCounts> {
    const serving = await this.#serve();
    // The zeroth never comes.
    this.#death.arm('write', 'before', 0, { ...this.#options.ports, reply: serving.door.smtp.port });
    await this.#sendOne(serving, SMALL, 'smtp');
    const { counts } = this.#death;
    this.#death.disarm();
    await this.#buried(serving, true);
    return counts;
  }

  /**
   * Lets what is left be sent, with hours passing between one process and the next: what was begun in vain again and again
   * waits long. Everything that has a key is answered in the end.
   */
  async finish(): Promise<void> {
    this.#death.disarm();
    await this.#serving?.kill();
    this.#serving = undefined;
    let serving = await this.#serve();
    await this.#session(serving, 1, SMALL, 'smtp');
    for (let hours = 0; !(await this.#emptied()); hours++) {
      if (hours === MAX_HOURS) throw new Error(`mail is left:\n${serving.output().slice(-3000)}`);
      await serving.stop();
      await this.#buried(serving, true);
      this.#clock.leap(HOUR_MS);
      serving = await this.#serve();
    }
    await serving.stop();
  }

  /** The stories of these Message-IDs. */
  async stories(ids: ReadonlySet<string>): Promise<ReadonlyMap<string, readonly Story[]>> {
    const store = await openStore(this.#options.database);
    try {
      const found = new Map<string, Story[]>();
      for (let before: number | undefined; ;) {
        const page = await store.outbox.list({}, { limit: 500, ...(before === undefined ? {} : { before }) });
        for (const message of page) {
          if (!ids.has(message.messageId)) continue;
          const events = await store.outbox.events({ messageId: message.id, limit: 500 });
          found.set(message.messageId, [...(found.get(message.messageId) ?? []), { message, events }]);
        }
        before = page.at(-1)?.seq;
        if (before === undefined) return found;
      }
    } finally {
      await store.close();
    }
  }

  async remove(): Promise<void> {
    await this.#serving?.kill();
    this.#death.remove();
    this.#options.home.remove();
  }

  /** Waits a while for the outbox to become empty. */
  async #emptied(): Promise<boolean> {
    const store = await openStore(this.#options.database);
    try {
      for (const end = performance.now() + EMPTY_MS; performance.now() < end; await delay(100)) {
        const { queued, sending } = await store.outbox.stats(Date.now());
        if (queued === 0 && sending === 0) return true;
      }
      return false;
    } finally {
      await store.close();
    }
  }

  async #serve(): Promise<Serving> {
    this.#serving ??= await this.#options.home.serve({ ...this.#death.env, ...this.#clock.env });
    return this.#serving;
  }

  async #atStart({ point, moment, nth }: Step & { readonly type: 'point' }): Promise<'killed' | 'survived'> {
    const { ports } = this.#options;
    await this.#serving?.kill();
    this.#serving = undefined;
    this.#clock.leap(LEAP_MS);
    this.#death.arm(point, moment, nth, ports);
    try {
      const serving = await this.#serve();
      const died = this.#death.fired;
      this.#death.disarm();
      return died ? await this.#buried(serving, true) : 'survived';
    } catch (error) {
      if (!this.#death.fired) throw error;
      await this.#options.endLeases?.();
      return 'killed';
    }
  }

  /** Hands over one message and waits until it is sent, or the process has ended; whether it was taken. */
  async #sendOne(serving: Serving, octets: number, way: Way): Promise<boolean> {
    const last = await this.#session(serving, 1, octets, way);
    if (last === undefined) return false;
    const sent = (): boolean => new RegExp(`^.*"${last}".*"message sent".*$`, 'm').test(serving.output());
    for (const until = performance.now() + ROUND_MS; serving.running && !sent(); await delay(5))
      if (performance.now() > until) throw new Error(`${last} was not sent:\n${serving.output().slice(-3000)}`);
    // What is written after the last word about it.
    await delay(30);
    return true;
  }

  /** @param expected the process was to die */
  async #buried(serving: Serving, expected: boolean): Promise<'killed' | 'survived'> {
    await serving.kill();
    this.#serving = undefined;
    this.#clock.leap(LEAP_MS);
    await this.#options.endLeases?.();
    return expected ? 'killed' : 'survived';
  }

  /** Sends what is to be repeated, and then so many new ones; the id of the last one, if it was answered. */
  async #session(serving: Serving, fresh: number, octets: number, way: Way): Promise<string | undefined> {
    const { acknowledged, repeated, unanswered } = this.count;
    let wire: Wire | undefined;
    let last: string | undefined;
    let letter: Letter | undefined;
    try {
      wire = await signedIn(serving);
      for (let sent = 0; sent < fresh;) {
        letter = this.#again.shift();
        if (letter) repeated.add(letter.id);
        else {
          sent += 1;
          letter = this.#write(octets, way);
        }
        if (!letter.keyed) unanswered.add(letter.id);
        last = letter.way === 'http' ? await this.#post(serving, letter) : await submit(wire, letter);
        unanswered.delete(letter.id);
        acknowledged.add(letter.id);
        letter = undefined;
      }
      return last;
    } catch (error) {
      // The end of a session is what this is about; anything else would be a broken test.
      assert.match(String(error), /closed before|ECONNREFUSED|ECONNRESET|fetch failed|terminated/);
      if (letter?.keyed) this.#again.push(letter);
      return undefined;
    } finally {
      wire?.destroy();
    }
  }

  async #post(serving: Serving, letter: Letter): Promise<string> {
    const response = await fetch(`${serving.api}/v1/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#options.apiKey}`, 'content-type': 'message/rfc822' },
      body: textOf(letter),
    });
    const answer = await response.text();
    assert.equal(response.status, 202, answer);
    return said(answer, { id: z.string() }).id;
  }

  #write(octets: number, way: Way): Letter {
    const number = ++this.#letters;
    return { way, id: `<${this.#options.name}.${number}@kill.test>`, keyed: number % 2 === 0, octets };
  }
}

export interface Story {
  readonly message: OutboxMessage;
  readonly events: readonly MessageEvent[];
}

async function signedIn(serving: Serving): Promise<Wire> {
  const wire = await Wire.open(serving.door.smtp);
  await wire.until(/^220 .*\r\n/);
  wire.send('EHLO test\r\n');
  await wire.until(/^250 .*\r\n/m);
  wire.send(`AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${serving.door.password}`).toString('base64')}\r\n`);
  await wire.until(/^235 .*\r\n/m);
  return wire;
}

/** The id of the message. */
async function submit(wire: Wire, letter: Letter): Promise<string> {
  for (const command of [`MAIL FROM:<${ALICE}>`, `RCPT TO:<${BOB}>`]) {
    wire.send(`${command}\r\n`);
    await wire.until(/^250 .*\r\n/m);
  }
  wire.send('DATA\r\n');
  await wire.until(/^354 .*\r\n/m);
  wire.send(`${textOf(letter)}.\r\n`);
  const answer = /^250 2\.0\.0 (?:queued|known) as (\S+)\r\n$/.exec(await wire.until(/^\d{3} .*\r\n/m));
  assert.ok(answer, 'a message was refused');
  return answer[1]!;
}

/** The text ends with its own name, so that what arrives is known to be whole. */
function textOf({ id, keyed, octets }: Letter): string {
  const key = keyed ? `Idempotency-Key: ${id}\r\n` : '';
  const body = `${'x'.repeat(76)}\r\n`.repeat(Math.ceil(octets / 78));
  return `From: ${ALICE}\r\nTo: ${BOB}\r\nMessage-ID: ${id}\r\n${key}X-Octets: ${body.length}\r\n\r\n${body}end of ${id}\r\n`;
}

/** How often each Message-ID is among what arrived. @throws when a message arrived in pieces */
export function arrivals(messages: readonly Buffer[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const message of messages) {
    const head = message.toString('latin1', 0, 8192);
    const id = /^Message-ID: (<[^>]*@kill\.test>)\r?$/im.exec(head)?.[1];
    if (id === undefined) continue;
    const octets = Number(/^X-Octets: (\d+)\r?$/im.exec(head)?.[1]);
    const body = message.toString('latin1', message.indexOf('\r\n\r\n') + 4);
    assert.equal(body.trimEnd().length, octets + `end of ${id}`.length, `${id} arrived in pieces`);
    assert.ok(body.trimEnd().endsWith(`end of ${id}`), `${id} arrived in pieces`);
    found.set(id, (found.get(id) ?? 0) + 1);
  }
  return found;
}
