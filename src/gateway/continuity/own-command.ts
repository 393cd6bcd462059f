/** The one command of ours that may be under way at the client's server. */

export type Answer = 'OK' | 'NO' | 'BAD' | 'gone';

export class OwnCommand {
  readonly #prefix: string;
  #count = 0;
  #tag: string | undefined;
  #continuation = false;
  #done: ((answer: Answer) => void) | undefined;

  /** @param prefix of our tags, unlike any client's */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get pending(): boolean {
    return this.#tag !== undefined;
  }

  newTag(): string {
    this.#count += 1;
    return `${this.#prefix}${this.#count}`;
  }

  isTag(tag: string): boolean {
    return this.#tag === tag;
  }

  /** Whether a client's tag could be taken for one of ours. */
  isLike(tag: string): boolean {
    return tag.startsWith(this.#prefix);
  }

  /** @param continuation whether a continuation request is the answer (the client's IDLE, taken up again with the client's tag) */
  begin(tag: string, continuation: boolean, done: (answer: Answer) => void): void {
    this.#tag = tag;
    this.#continuation = continuation;
    this.#done = done;
  }

  /** @returns true when this continuation request was for us */
  continued(): boolean {
    if (!this.#continuation) return false;
    this.answered('OK');
    return true;
  }

  /** @returns `client` when the client has to hear it too: its IDLE is refused */
  answered(answer: Answer): 'ours' | 'client' {
    const done = this.#done;
    const client = this.#continuation;
    this.#tag = this.#done = undefined;
    this.#continuation = false;
    done?.(answer);
    return client ? 'client' : 'ours';
  }
}
