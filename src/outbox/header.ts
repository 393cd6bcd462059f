/** The header of a message on its way in: what has to be known, checked, removed and added (RFC 5322 §2.2, RFC 6409 §8). */
import { isAscii } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { mailDate } from '../base/mail-date.ts';
import { formatAddress, type ListedAddress, readAddressList } from '../protocol/mime/address-list.ts';
import { authorProblem, isDaemon } from '../protocol/mime/authors.ts';
import { type Field, readFields, repeatedField, utf8 } from '../protocol/mime/header-fields.ts';
import { outboxError } from './errors.ts';
import { type LocalNames, localName } from './local-name.ts';

export interface Header {
  /** With the empty line that ends it. */
  readonly octets: Buffer;
  /** With angle brackets. */
  readonly messageId: string;
  readonly idempotencyKey: string | undefined;
  /** Octets above 127 occur. */
  readonly eightBit: boolean;
}

export interface HeaderOptions extends LocalNames {
  /** Right side of a Message-ID made here. */
  readonly domain: string;
  /** Milliseconds since the epoch, for a missing Date. */
  readonly now: number;
  readonly dropBcc: boolean;
  /** Of the envelope; empty for reports. */
  readonly sender: string;
  /** Who a report without an envelope sender is from where its author may not be: the mailbox that sends it. */
  readonly reporter?: string | undefined;
  /** Whether `From` and `Sender` may name an address; undefined: they were checked before. */
  readonly mayBe?: LocalNames['mayBe'];
  /** The original author may stay when somebody who may sends it again (`Resent-From`). */
  readonly mayResend?: boolean | undefined;
  /** Display name of a From that is added. */
  readonly authorName?: string | undefined;
}

/** RFC 5322 §2.1.1: a line has 998 octets, and a message id cannot be folded (§3.6.4). */
const MAX_ID = 998;
/** Address fields in which local names are completed. */
const ADDRESSED = new Set(
  'from sender reply-to to cc bcc resent-from resent-sender resent-to resent-cc resent-bcc'.split(' '),
);
/** Those that say who sends: a name that is nobody's address gives way to the sender of the envelope. */
const AUTHORS = new Set(['from', 'sender', 'resent-from', 'resent-sender']);

/**
 * Reads a whole header and gives the one to send: `Idempotency-Key` taken out, `From`, Message-ID and Date added where they are
 * missing or empty (RFC 6409 §8.2, §8.3), names without a domain completed, space between a name and its colon taken out, all else octet for octet.
 * @throws outbox.header, outbox.sender when somebody is named who must not be
 */
export function readHeader(octets: Buffer, options: HeaderOptions): Header {
  const fields = readFields(octets.toString('latin1'));
  if (!Array.isArray(fields)) throw wrong(fields as Exclude<typeof fields, readonly Field[]>);
  const all = fields as readonly Field[];
  const repeated = repeatedField(options.dropBcc ? all.filter(({ name }) => name !== 'bcc') : all);
  if (repeated) throw wrong(repeated);
  if (options.mayBe) checkAuthors(all, { ...options, mayBe: options.mayBe });
  const kept: string[] = [];
  let messageId: string | undefined;
  let dated = false;
  let authored = false;
  let key: string | undefined;
  for (const field of all) {
    const { name, value } = field;
    if (name === 'idempotency-key') {
      key ??= value;
      continue;
    }
    if (options.dropBcc && (name === 'bcc' || name === 'resent-bcc')) continue;
    // What is empty is as good as missing, and a second one beside it would be one too many.
    if (value === '' && (name === 'message-id' || name === 'date')) continue;
    if (name === 'message-id') messageId = idIn(field);
    if (name === 'date') dated = true;
    if (name === 'from') authored = true;
    kept.push(ADDRESSED.has(name) ? completed(field, options) : written(field));
  }
  const author = authorOf(options);
  if (!authored && author !== '') kept.push(`From: ${addedAuthor(options, author)}`);
  if (messageId === undefined) {
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

/**
 * A Message-ID as it stands: programs write many that are none by the book, and whoever answers names what was sent. What no line can
 * carry, or would be read differently by every server, is refused. @throws outbox.header
 */
function idIn({ line, value }: Field): string {
  // oxlint-disable-next-line no-control-regex -- they are what is meant
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value))
    throw wrong({ line, problem: 'has a control character in its Message-ID' });
  if (value.length > MAX_ID) throw wrong({ line, problem: `has a Message-ID of more than ${MAX_ID} octets` });
  return utf8(value);
}

/** Who stands in for an author that is nobody's address; empty for reports of our own. */
function authorOf({ mayBe, reporter = '', sender }: HeaderOptions): string {
  return sender === '' && mayBe ? reporter : sender;
}

function addedAuthor({ authorName, sender }: HeaderOptions, address: string): string {
  const given = authorName ?? (sender === '' ? 'Mail Delivery System' : '');
  // oxlint-disable-next-line no-control-regex -- none of them may be in a header
  const name = given.slice(0, 200).replaceAll(/[\x00-\x1f\x7f]/g, '');
  return Buffer.from(formatAddress({ name, address })).toString('latin1');
}

/** @throws outbox.header, outbox.sender */
function checkAuthors(fields: readonly Field[], options: HeaderOptions & { mayBe(address: string): boolean }): void {
  const found = authorProblem(fields, {
    mayBe: options.mayBe,
    nullSender: options.sender === '',
    daemons: 'replaced',
    mayResend: options.mayResend === true,
    isReplaced: (one) => authorOf(options) !== '' && localName(one, options) !== undefined,
  });
  if (!found) return;
  const where = found.line === undefined ? '' : `line ${found.line}: `;
  if (found.type === 'header') throw outboxError('outbox.header', `${where}${found.problem}`, { hint: AUTHOR_HINT });
  const more = found.address === undefined ? { hint: REPORT_HINT } : { detail: { address: found.address } };
  throw outboxError('outbox.sender', `${where}${found.problem}, which is not allowed as a sender here`, more);
}

const AUTHOR_HINT =
  'From is one address, `Name <local@domain>`, with the name in quotation marks when it has signs other than letters; several need a Sender (RFC 5322 §3.6.2)';
const REPORT_HINT = 'give the message a sender; only reports and automatic answers go without one (RFC 5321 §4.5.5)';

/** A field with its local names completed; as it stood where it has none, or cannot be read. */
function completed(field: Field, options: HeaderOptions): string {
  const { localDomain, localHosts, mayBe, sender } = options;
  const { name, value, raw } = field;
  const isAuthor = AUTHORS.has(name);
  // Nearly all: an address, and no name without one.
  const { addresses: listed, grouped, problem } = readAddressList(utf8(value));
  const addresses = listed.map((each) => {
    const local = localName(each, isAuthor ? options : { localHosts });
    return local === undefined ? each : { ...each, address: local, isLocal: true };
  });
  const author = authorOf(options);
  // Providers refuse a message from MAILER-DAEMON of some machine, and a refused report is told to nobody.
  const isStranger = (each: ListedAddress): boolean =>
    isAuthor && sender === '' && author !== '' && isDaemon(each) && mayBe?.(each.address) !== true;
  if (problem !== undefined || grouped || !addresses.some((each) => each.isLocal || isStranger(each)))
    return written(field);
  if (!isAuthor && localDomain === undefined) return written(field);
  const one = (each: ListedAddress): Pick<ListedAddress, 'name' | 'address'> => {
    if (isStranger(each)) return { name: each.name === '' ? each.address : each.name, address: author };
    if (!each.isLocal) return each;
    const address = localDomain === undefined ? undefined : `${each.address}@${localDomain}`;
    if (address !== undefined && (!isAuthor || mayBe?.(address) !== false)) return { ...each, address };
    if (author === '') return each;
    return { name: each.name === '' ? each.address : `${each.address} (${each.name})`, address: author };
  };
  const text = addresses.map((each) => formatAddress(one(each))).join(',\r\n ');
  const whole = `${raw.slice(0, name.length)}: ${Buffer.from(text).toString('latin1')}`;
  return addresses.some(isStranger) ? `${whole}\r\nX-Original-${written(field)}` : whole;
}

/** As it stood, without the space before its colon that not every reader takes for part of a field (RFC 5322 §4.5). */
function written({ name, raw }: Field): string {
  return raw[name.length] === ':' ? raw : raw.slice(0, name.length) + raw.slice(raw.indexOf(':'));
}

function wrong({ line, problem }: { readonly line: number; readonly problem: string }): Error {
  return outboxError('outbox.header', `line ${line} of the message ${problem}`, { detail: { line } });
}

/** Octets looked at together. */
const LOOK_OCTETS = 16 * 1024;
/** A CR or LF alone; a CR at the very end may have its LF in what follows. */
const BARE_NEWLINE = /\r(?!\n|$)|(?<!\r)\n/;

/** Looks at octets as they pass: whether some are above 127, that every CR and LF belongs to a CRLF, and that none is NUL. */
export class OctetCheck {
  eightBit = false;
  #endedInCr = false;

  /**
   * @throws outbox.bare-newline: what one server takes for a line another does not (SMTP smuggling; RFC 5321 §2.3.8);
   * outbox.nul: a server may end the text there, or take the octet out (RFC 2045 §2.7, §2.8)
   */
  look(octets: Buffer): void {
    this.eightBit ||= !isAscii(octets);
    if (octets.includes(0))
      throw outboxError('outbox.nul', 'the message has an octet 0 (NUL), which mail cannot carry as it is');
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
