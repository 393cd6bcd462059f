/** A command of the client that the server does not hear of before it is known what its literal is. No I/O. */
import { HeaderReader } from '../../protocol/mime/header-fields.ts';

/** Octets of a message that are looked at for its header; the longest of ordinary mail fits. */
const MAX_HEADER = 64 * 1024;

export class SetApart {
  readonly #first: string;
  readonly #kept = new HeaderReader();
  /** Of its literal. */
  readonly octets: number;
  /** The client was asked for the literal in the server's place. */
  readonly waits: boolean;
  /** Its header is being looked at. */
  judging = false;
  #literals = 0;
  #judged = false;
  #end: number | undefined;

  /** @param line its first, without CRLF */
  constructor(line: string, literal: { readonly octets: number; readonly waits: boolean }) {
    this.#first = line;
    this.octets = literal.octets;
    this.waits = literal.waits;
  }

  /** Its literal has not begun. */
  get isNew(): boolean {
    return this.#literals === 0;
  }

  /** It has a second literal. */
  get more(): boolean {
    return this.#literals > 1;
  }

  /** Undefined when it is too long. */
  get header(): Buffer | undefined {
    const end = this.#end;
    return end === undefined || end > MAX_HEADER ? undefined : this.#kept.octets.subarray(0, end);
  }

  /** A literal begins. */
  goesOn(): void {
    this.#literals += 1;
  }

  keep(octets: Buffer): void {
    if (!this.#judged) this.#end = this.#kept.add(octets);
  }

  /** @param whole the literal is all there @returns true once, when it can be judged */
  isReady(whole: boolean): boolean {
    if (this.#judged) return false;
    if (this.#end === undefined && !whole && this.#kept.octets.length < MAX_HEADER) return false;
    this.#judged = this.judging = true;
    return true;
  }

  /** @returns its first line and what has come of its literal */
  take(): readonly [Buffer, Buffer] {
    return [Buffer.from(`${this.#first}\r\n`, 'latin1'), this.#kept.octets];
  }
}
