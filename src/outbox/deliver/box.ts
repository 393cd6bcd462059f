/** What this process knows of each mailbox with mail. */
import type { DueMailbox, OutboxTable } from '../../store/types-outbox.ts';
import { concerns } from '../rest.ts';
import type { Resting } from './resting.ts';

export interface Box {
  running: number;
  /** Nothing before this moment. */
  waitUntil: number;
  /** When it was found shut, if that is why it waits. */
  shutAt: number | undefined;
  /** It waits for something that rests, and goes on when that does. */
  rests: boolean;
}

/** So far back the events are looked at for who wants a message to go now. */
const LATE_EVENTS = 1000;

export class Boxes {
  readonly #table: Pick<OutboxTable, 'events' | 'lastEvent'>;
  readonly #resting: Pick<Resting, 'tryNow'>;
  readonly #boxes = new Map<string, Box>();

  constructor(table: Pick<OutboxTable, 'events' | 'lastEvent'>, resting: Pick<Resting, 'tryNow'>) {
    this.#table = table;
    this.#resting = resting;
  }

  of(address: string): Box {
    let box = this.#boxes.get(address);
    if (!box) this.#boxes.set(address, (box = { running: 0, waitUntil: 0, shutAt: undefined, rests: false }));
    return box;
  }

  all(): Iterable<Box> {
    return this.#boxes.values();
  }

  /** Who says "now" of a message is heard, also where its mailbox was found shut a moment ago. @throws store.unavailable */
  async letReleased(due: readonly DueMailbox[], now: number): Promise<void> {
    const shut = due.filter(({ mailbox }) => {
      const box = this.of(mailbox);
      return box.waitUntil > now && box.shutAt !== undefined;
    });
    if (shut.length === 0) return;
    const tenantOf = new Map(shut.map(({ mailbox, tenant }) => [mailbox, tenant]));
    const after = Math.max(0, (await this.#table.lastEvent()) - LATE_EVENTS);
    const mailboxes = shut.map(({ mailbox }) => mailbox);
    const released = { after, mailboxes, types: ['released'], limit: LATE_EVENTS } as const;
    for (const { at, mailbox } of await this.#table.events(released)) {
      const box = this.of(mailbox);
      if (box.shutAt === undefined || at < box.shutAt) continue;
      if (box.rests) this.#resting.tryNow((rest) => concerns(rest, mailbox, tenantOf.get(mailbox)));
      box.waitUntil = 0;
      box.shutAt = undefined;
    }
  }
}
