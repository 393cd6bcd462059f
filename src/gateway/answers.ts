/** What we say to a mail program ourselves while one chunk of it is looked at leaves together: a thousand refusals are not a thousand writes. */
import type { Socket } from 'node:net';

/** Octets that leave at once at the most; from there on others have their turn before the program is read on. */
const MAX_OCTETS = 16 * 1024;

export interface Speaker {
  say(text: string): void;
  /** The others have had their turn. */
  readOn(): void;
}

export class Answers {
  readonly #speaker: Speaker;
  #text = '';
  #joins = false;
  #turn: NodeJS.Immediate | undefined;

  constructor(speaker: Speaker) {
    this.#speaker = speaker;
  }

  /** True while the program is not to be read because of what it made us say. */
  get yields(): boolean {
    return this.#turn !== undefined;
  }

  /** A chunk is looked at: `leave` follows. */
  join(): void {
    this.#joins = true;
  }

  add(text: string, client: Socket): void {
    this.#text += text;
    if (!this.#joins) this.flush();
    else if (this.#text.length >= MAX_OCTETS) {
      this.flush();
      this.#yield(client);
    }
  }

  leave(): void {
    this.#joins = false;
    if (this.#text !== '') this.flush();
  }

  flush(): void {
    const text = this.#text;
    this.#text = '';
    if (text !== '') this.#speaker.say(text);
  }

  close(): void {
    clearImmediate(this.#turn);
  }

  /** Of a socket that has more, libuv reads 32 chunks before it looks at the next one. */
  #yield(client: Socket): void {
    client.pause();
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#speaker.readOn();
    });
  }
}
