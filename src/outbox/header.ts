/** The header of a message on its way in: what has to be known, removed and added (RFC 5322 §2.2, RFC 6409 §8). */
import { mailDate } from '../base/mail-date.ts';
import { isAscii } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { outboxError } from './errors.ts';

/** Octets. Exchange refuses headers above 256 KiB; nobody writes one by hand. */
export const MOST_HEADER = 256 * 1024;

export interface Header {
  /** With the empty line that ends it. */
  readonly octets: Buffer;
  /** With angle brackets. */
  readonly messageId: string;
  readonly idempotencyKey: string | undefined;
  /** Octets above 127 occur. */
  readonly eightBit: boolean;
}

export interface HeaderOptions {
  /** Right side of a Message-ID made here. */
  readonly domain: string;
  /** Milliseconds since the epoch, for a missing Date. */
  readonly now: number;
  readonly dropBcc: boolean;
}

/**
 * Where the header ends: the octets up to and including the empty line, or undefined while it has not come yet. A message
 * may begin with the empty line.
 */
export function headerEnd(octets: Buffer): number | undefined {
  if (octets.length >= 2 && octets[0] === CR && octets[1] === LF) return 2;
  const end = octets.indexOf('\r\n\r\n');
  return end === -1 ? undefined : end + 4;
}

/**
 * Reads a whole header and gives the one to send: `Idempotency-Key` taken out, Message-ID and Date added where they are
 * missing (RFC 6409 §8.2, §8.3), all else octet for octet. @throws outbox.header
 */
export function readHeader(octets: Buffer, options: HeaderOptions): Header {
  const text = octets.toString('latin1');
  const fields = text
    .slice(0, -2)
    .split(/\r\n(?![ \t])/)
    .filter((field) => field !== '');
  const kept: string[] = [];
  let messageId: string | undefined;
  let dated = false;
  let key: string | undefined;
  for (const field of fields) {
    const found = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:([^]*)$/.exec(field);
    if (!found) throw outboxError('outbox.header', `a header line has no name: ${shown(field)}`);
    if (/[\r\n\0]/.test(field.replace(/\r\n(?=[ \t])/g, '')))
      throw outboxError('outbox.header', `the header field ${found[1]} has a line break in it that is none`);
    const value = found[2]!.replace(/\r\n/g, '').trim();
    switch (found[1]!.toLowerCase()) {
      case 'message-id':
        messageId ??= value;
        break;
      case 'date':
        dated = true;
        break;
      case 'idempotency-key':
        key ??= value;
        continue;
      case 'bcc':
        if (options.dropBcc) continue;
        break;
    }
    kept.push(field);
  }
  if (messageId === undefined || messageId === '') {
    messageId = `<${randomUUID()}@${options.domain}>`;
    kept.push(`Message-ID: ${messageId}`);
  }
  if (!dated) kept.push(`Date: ${mailDate(options.now)}`);
  return {
    octets: Buffer.from(`${kept.join('\r\n')}\r\n\r\n`, 'latin1'),
    messageId,
    idempotencyKey: key === '' ? undefined : key,
    eightBit: !isAscii(octets),
  };
}

const CR = 13;
const LF = 10;

/** Octets looked at together. */
const LOOK_OCTETS = 16 * 1024;
/** A CR or LF alone; a CR at the very end may have its LF in what follows. */
const BARE_NEWLINE = /\r(?!\n|$)|(?<!\r)\n/;

/** Looks at octets as they pass: whether some are above 127, and that every CR and LF belongs to a CRLF. */
export class OctetCheck {
  eightBit = false;
  #endedInCr = false;

  /** @throws outbox.bare-newline: what one server takes for a line another does not (SMTP smuggling; RFC 5321 §2.3.8) */
  look(octets: Buffer): void {
    this.eightBit ||= !isAscii(octets);
    // The engine's own search in a text takes a third of the time of a loop over octets.
    for (let at = 0; at < octets.length; at += LOOK_OCTETS) {
      const text = octets.toString('latin1', at, at + LOOK_OCTETS);
      if (BARE_NEWLINE.test(this.#endedInCr ? `\r${text}` : text)) throw bareNewline();
      this.#endedInCr = text.endsWith('\r');
    }
  }

  /** @throws outbox.bare-newline */
  end(): void {
    if (this.#endedInCr) throw bareNewline();
  }
}

function bareNewline(): Error {
  return outboxError('outbox.bare-newline', 'the message has a CR or LF that is not part of a CRLF');
}

function shown(field: string): string {
  return JSON.stringify(field.slice(0, 60));
}
