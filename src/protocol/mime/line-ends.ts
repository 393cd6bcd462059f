/** Line ends as people and programs write them, made into CRLF (RFC 5322 §2.1). No I/O. */

const CR = 13;
const LF = 10;
const CRLF = Buffer.from('\r\n');
/** More CR in a row than a line may have characters (RFC 5322 §2.1.1) belong to no line end. */
const MAX_RUN = 998;

/**
 * LF, CR LF and CR CR LF (a text that was converted twice) become CRLF, wherever the pieces are cut. A CR without an LF is a line end
 * of its own (`ends-line`), or stays as it is for somebody else to refuse (`stays`).
 */
export class LineEnds {
  readonly #bareCr: 'ends-line' | 'stays';
  /** CRs at the end of what came, whose LF may be next. */
  #held = 0;

  constructor(bareCr: 'ends-line' | 'stays') {
    this.#bareCr = bareCr;
  }

  add(piece: Buffer): Buffer {
    let length = piece.length;
    while (length > 0 && piece[length - 1] === CR) length -= 1;
    const trailing = piece.length - length;
    if (length === 0) {
      this.#held += trailing;
      return this.#held > MAX_RUN ? this.end() : piece.subarray(0, 0);
    }
    const parts: Buffer[] = [];
    if (this.#held > 0) parts.push(Buffer.alloc(this.#held, CR));
    parts.push(trailing === 0 ? piece : piece.subarray(0, length));
    this.#held = trailing;
    return this.#normal(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  /** What is left. */
  end(): Buffer {
    const rest = Buffer.alloc(this.#held, CR);
    this.#held = 0;
    return this.#normal(rest);
  }

  #normal(octets: Buffer): Buffer {
    const parts: Buffer[] = [];
    let from = 0;
    for (let at = octets.indexOf(LF); at >= 0; at = octets.indexOf(LF, at + 1)) {
      let start = at;
      while (start > from && octets[start - 1] === CR) start -= 1;
      if (at - start === 1) continue;
      parts.push(octets.subarray(from, start), CRLF);
      from = at + 1;
    }
    const all = parts.length === 0 ? octets : Buffer.concat([...parts, octets.subarray(from)]);
    if (this.#bareCr === 'stays') return all;
    // A match takes a whole run, so that a long one is looked at once.
    const text = all.toString('latin1');
    const ended = text.replaceAll(/\r+\n?/g, (run) => (run.endsWith('\n') ? '\r\n' : '\r\n'.repeat(run.length)));
    return ended.length === text.length ? all : Buffer.from(ended, 'latin1');
  }
}
