/**
 * The text of one relayed message as it passes: where it ends (RFC 5321 §4.5.2, RFC 3030 §2), and its header as the server will read
 * it. No I/O.
 */
import { HeaderReader, MAX_HEADER, oneField, utf8 } from '../../protocol/mime/header-fields.ts';

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
/**
 * No text has it (RFC 5322 §4, RFC 6152 §3). A server that leaves it out finds the end of the text where others find a line. In a
 * chunk it ends nothing and may be there (RFC 3030 §3).
 */
const NUL = '554 5.6.11 the message has an octet 0 (NUL) in it; send binary data as an attachment in base64';
/** Of a Message-ID, which is written into records; a line has no more (RFC 5322 §2.1.1). */
const MAX_ID = 998;
/** Of what comes at once: unstuffed it still has more than a header may have. Of three octets one may be such a dot. */
const MAX_LOOKED_AT = 2 * MAX_HEADER;

export interface Passed {
  /** Where the text ends in what came, the closing dot and its line included. */
  readonly end: number | undefined;
  /**
   * A dot after a line end that is none everywhere (`\n.`, `\r.`): servers differ in what the text is and what are commands (SMTP
   * smuggling), so that none may get it.
   */
  readonly ambiguous: boolean;
  /** What the judge says of the header, once; and of any text with an octet 0. */
  readonly objection: string | undefined;
}

export class SmtpText {
  readonly #judge: (header: Buffer) => string | undefined;
  #header: HeaderReader | undefined = new HeaderReader();
  /** The two octets before what comes: the text begins at the beginning of a line. */
  #before = [CR, LF];
  /** The same for the header, of which the dots that only carry it are taken out. */
  #lastOfHeader: readonly [number, number] = [CR, LF];
  /** Behind CRLF and a dot: 1, and a CR behind that: 2. */
  #closing: 0 | 1 | 2 = 0;
  /** Of the text so far. */
  octets = 0;
  /** Once the header has come. */
  messageId: string | undefined;

  /** @param judge is given the whole header */
  constructor(judge: (header: Buffer) => string | undefined) {
    this.#judge = judge;
  }

  /** Octets after DATA. */
  dotted(bytes: Buffer): Passed {
    const { end, ambiguous } = this.#findEnd(bytes);
    const text = bytes.subarray(0, end);
    this.octets += text.length;
    if (!ambiguous && text.indexOf(0) !== -1) {
      this.#header = undefined;
      return { end, ambiguous, objection: NUL };
    }
    if (ambiguous || !this.#header) return { end, ambiguous, objection: undefined };
    return {
      end,
      ambiguous,
      objection: this.#look(this.#unstuffed(text.subarray(0, MAX_LOOKED_AT)), end !== undefined),
    };
  }

  /**
   * Octets of a BDAT chunk. @param last the message ends with them
   * @returns what may pass: all that was kept; undefined while the header has not come to its end, and all of it is kept
   */
  counted(bytes: Buffer, last: boolean): { readonly octets: Buffer } | { readonly objection: string } | undefined {
    this.octets += bytes.length;
    const header = this.#header;
    if (!header) return { octets: bytes };
    const objection = this.#look(bytes.subarray(0, MAX_LOOKED_AT), last);
    if (objection !== undefined) return { objection };
    if (this.#header) return undefined;
    const rest = bytes.subarray(MAX_LOOKED_AT);
    return { octets: rest.length === 0 ? header.octets : Buffer.concat([header.octets, rest]) };
  }

  /** Octets of memory that the header has taken. */
  get memory(): number {
    return this.#header?.memory ?? 0;
  }

  /** What the server reads: of a line that begins with a dot the dot is taken out (RFC 5321 §4.5.2). */
  #unstuffed(text: Buffer): Buffer {
    const parts: Buffer[] = [];
    let from = 0;
    const leaveOut = (dot: number): void => {
      parts.push(text.subarray(from, dot));
      from = dot + 1;
    };
    const [second, last] = this.#lastOfHeader;
    if (second === CR && last === LF && text[0] === DOT) leaveOut(0);
    else if (last === CR && text[0] === LF && text[1] === DOT) leaveOut(1);
    for (let line = text.indexOf('\r\n.', from); line !== -1; line = text.indexOf('\r\n.', from)) leaveOut(line + 2);
    if (text.length === 1) this.#lastOfHeader = [last, text[0]!];
    else if (text.length > 1) this.#lastOfHeader = [text.at(-2)!, text.at(-1)!];
    return parts.length === 0 ? text : Buffer.concat([...parts, text.subarray(from)]);
  }

  #look(text: Buffer, last: boolean): string | undefined {
    if (!this.#header) return undefined;
    const end = this.#header.add(text);
    if (end === undefined && !last && !this.#header.endless) return undefined;
    const { octets, endless } = this.#header;
    this.#header = undefined;
    if (end === undefined && endless) return `550 5.6.0 the header has more than ${MAX_HEADER} octets`;
    const header = octets.subarray(0, end);
    const id = oneField(header, 'message-id');
    this.messageId = id === undefined ? undefined : utf8(id.slice(0, MAX_ID));
    return this.#judge(header);
  }

  #findEnd(bytes: Buffer): { readonly end: number | undefined; readonly ambiguous: boolean } {
    const firstDot = bytes.indexOf(DOT);
    const bareCr = dotBehind(CR, bytes, firstDot - 1);
    let at = 0;
    if (this.#closing === 0 && bytes[0] === DOT) {
      const [second, first] = this.#before;
      if (first === LF && second === CR) {
        this.#closing = 1;
        at = 1;
      } else if (first === LF || first === CR) return { end: undefined, ambiguous: true };
    }
    for (;;) {
      if (this.#closing === 1 && at < bytes.length) {
        if (bytes[at] === LF) return { end: undefined, ambiguous: true };
        this.#closing = bytes[at] === CR ? 2 : 0;
        at += 1;
      }
      if (this.#closing === 2 && at < bytes.length) {
        if (bytes[at] !== LF) return { end: undefined, ambiguous: true };
        return { end: at + 1, ambiguous: bareCr !== -1 && bareCr < at };
      }
      if (at >= bytes.length) break;
      const lf = dotBehind(LF, bytes, firstDot === -1 ? -2 : Math.max(0, at - 1, firstDot - 1));
      if (lf === -1) break;
      const before = lf > 0 ? bytes[lf - 1] : this.#before[1];
      if (before !== CR) return { end: undefined, ambiguous: true };
      this.#closing = 1;
      at = lf + 2;
    }
    for (const octet of bytes.subarray(-2)) this.#before = [this.#before[1]!, octet];
    return { end: undefined, ambiguous: bareCr !== -1 };
  }
}

/** Dots that are looked at one by one; where there are more, the text is searched for both octets. */
const FEW_DOTS = 16;

/**
 * Where an octet with a dot behind it stands. Files in base64 have no dots: to look for one octet takes a fraction of the time that
 * looking for two does. @param from where the first may stand; -2: there is no dot @returns -1 when there is none
 */
function dotBehind(octet: typeof CR | typeof LF, bytes: Buffer, from: number): number {
  if (from === -2) return -1;
  let at = Math.max(1, from + 1);
  for (let tries = 0; tries < FEW_DOTS; tries++) {
    const dot = bytes.indexOf(DOT, at);
    if (dot === -1) return -1;
    if (bytes[dot - 1] === octet) return dot - 1;
    at = dot + 1;
  }
  return bytes.indexOf(octet === CR ? '\r.' : '\n.', at - 1);
}
