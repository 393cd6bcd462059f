/**
 * What counts as "the provider took this attempt". Every transaction carries a mark of ours in its header, a keyed hash of the
 * message, its octets and exactly the recipients it was for; a copy among the sent mail is this attempt if it carries this
 * mark, and only then. Message-IDs prove nothing: programs use them again, and save copies of their own.
 */
import { utf8 } from '../../protocol/mime/header-fields.ts';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { parseAddresses } from '../../protocol/mime/address.ts';
import { fieldOf, parseMessage } from '../../protocol/mime/part.ts';
import type { OutboxMessage, Recipient } from '../../store/types-outbox.ts';
import type { Vault } from '../../vault/types.ts';

export const MARK_FIELD = 'X-Postern-Delivery';

/** `X-Postern-Delivery: ` mark `.` check, CRLF. */
export const MARK_OCTETS = MARK_FIELD.length + 2 + 43 + 1 + 11 + 2;

/** Characters of base64url that tell a mark of this installation from any other text: 66 bits. */
const CHECK_LENGTH = 11;

type Named = Pick<OutboxMessage, 'id' | 'bodyId'>;

export class DeliveryMarks {
  readonly #key: Uint8Array;

  /** @param key 32 octets of this installation's alone */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** @throws vault.locked */
  static async open(vault: Pick<Vault, 'derive'>): Promise<DeliveryMarks> {
    return new DeliveryMarks(await vault.derive('delivery-mark'));
  }

  /** The mark of handing these octets over for exactly these recipients, however often it is tried. */
  of({ id, bodyId }: Named, recipients: readonly Pick<Recipient, 'address'>[]): string {
    const addresses = [...new Set(recipients.map(({ address }) => address.toLowerCase()))].toSorted();
    const mark = this.#hash('attempt', id, bodyId, ...addresses);
    return `${mark}.${this.#check(mark)}`;
  }

  /** The header field that carries it, CRLF included: always {@link MARK_OCTETS}. */
  field(message: Named, recipients: readonly Pick<Recipient, 'address'>[]): string {
    return `${MARK_FIELD}: ${this.of(message, recipients)}\r\n`;
  }

  /** Whether this installation made a mark, for whichever message. */
  isOurs(mark: string): boolean {
    const dot = mark.indexOf('.');
    return dot > 0 && same(mark.slice(dot + 1), this.#check(mark.slice(0, dot)));
  }

  /**
   * What servers on the way call the envelope (RFC 3461 §4.4): its id and a keyed hash, in no header, so that neither strangers
   * nor whoever gets the message can name it. The sender's own where it gave one: it is the one to be returned.
   */
  envelopeId({ dsn, id }: Pick<OutboxMessage, 'dsn' | 'id'>): string {
    return dsn.envid ?? `${id}.${this.#hash('envelope', id)}`;
  }

  /** The message whose envelope id this is, if it is one that we made. */
  messageOfEnvelope(envelopeId: string): string | undefined {
    const dot = envelopeId.lastIndexOf('.');
    const id = envelopeId.slice(0, Math.max(dot, 0));
    return dot > 0 && same(envelopeId.slice(dot + 1), this.#hash('envelope', id)) ? id : undefined;
  }

  #check(mark: string): string {
    return this.#hash('ours', mark).slice(0, CHECK_LENGTH);
  }

  #hash(...parts: readonly string[]): string {
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest('base64url');
  }
}

function same(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A copy among the sent mail, as fetched. */
export interface SentCopy {
  /** RFC822.SIZE */
  readonly size: number;
  /** INTERNALDATE, milliseconds since the epoch; undefined where it cannot be read. */
  readonly savedAt: number | undefined;
  /** Header fields: Message-ID, our own, To, Cc, Received. */
  readonly header: Buffer;
}

export interface Expected {
  readonly message: Pick<OutboxMessage, 'id' | 'bodyId' | 'messageId' | 'size'>;
  /** For whom the provider would have taken the attempt. */
  readonly recipients: readonly Pick<Recipient, 'address'>[];
  /** The message's own header. */
  readonly header: Buffer;
  /** When the attempt may have begun at the earliest; milliseconds since the epoch. */
  readonly since: number;
  readonly now: number;
  /** No other message of the outbox has this Message-ID. */
  readonly alone: boolean;
}

export type Verdict =
  /** A copy carries the mark of this attempt. */
  | 'found'
  /**
   * The provider removes header fields it does not know, and a copy fits in every other way: Message-ID, size, date, addressees,
   * and the trace of a server, which a copy that a program saved itself does not have.
   */
  | 'probably'
  /** There is a copy of that Message-ID that may be of this attempt or somebody else's: it proves nothing. */
  | 'uncertain'
  | 'absent';

/** Clocks of servers go wrong by minutes. */
const CLOCK_MS = 10 * 60_000;
/** What a server adds to a header on the way. */
const ADDED_OCTETS = 32 * 1024;
/** What it may have taken out of one. */
const REMOVED_OCTETS = 4 * 1024;

/** @param marked whether the sent mail holds any mark of ours: then the provider keeps them, and a copy without is not ours */
export function judgeCopies(
  marks: DeliveryMarks,
  expected: Expected,
  copies: readonly SentCopy[],
  marked: boolean,
): Verdict {
  const wanted = marks.of(expected.message, expected.recipients);
  const read = copies.map((copy) => ({ copy, message: parseMessage(copy.header) }));
  if (read.some(({ message }) => marksIn(message.fields).some((mark) => same(mark, wanted)))) return 'found';
  const own = parseMessage(expected.header);
  const open = read.filter(
    ({ copy, message }) =>
      utf8(fieldOf(message, 'message-id')?.trim() ?? '') === expected.message.messageId &&
      // The mark of another attempt: another message, or another part of this one.
      !marksIn(message.fields).some((mark) => marks.isOurs(mark)) &&
      isTimely(copy, expected),
  );
  if (open.length === 0) return 'absent';
  const fitting = open.filter(
    ({ copy, message }) =>
      hasSizeOf(copy, expected) &&
      sameAddressees(message.fields, own.fields) &&
      countOf(message.fields, 'received') > countOf(own.fields, 'received'),
  );
  return fitting.length > 0 && !marked && expected.alone ? 'probably' : 'uncertain';
}

/** Marks in the header of a copy. */
export function marksOf(header: Buffer): readonly string[] {
  return marksIn(parseMessage(header).fields);
}

type Fields = readonly { readonly name: string; readonly value: string }[];

function marksIn(fields: Fields): readonly string[] {
  const name = MARK_FIELD.toLowerCase();
  return fields.flatMap((field) => (field.name === name ? [field.value.trim()] : []));
}

function isTimely({ savedAt }: SentCopy, { now, since }: Expected): boolean {
  return savedAt === undefined || (savedAt >= since - CLOCK_MS && savedAt <= now + CLOCK_MS);
}

function hasSizeOf({ size }: SentCopy, { message }: Expected): boolean {
  return size >= message.size - REMOVED_OCTETS && size <= message.size + ADDED_OCTETS;
}

function sameAddressees(one: Fields, other: Fields): boolean {
  const of = (fields: Fields): string =>
    fields
      .filter(({ name }) => name === 'to' || name === 'cc')
      .flatMap(({ value }) => parseAddresses(value))
      .flatMap((each) => (each.type === 'mailbox' ? [`${each.local}@${each.domain}`.toLowerCase()] : []))
      .toSorted()
      .join();
  return of(one) === of(other);
}

const countOf = (fields: Fields, wanted: string): number => fields.filter(({ name }) => name === wanted).length;
