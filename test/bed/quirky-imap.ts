/** An IMAP server that disagrees: about literals, quotes, arguments, line ends and IDLE, as its quirks say. Signed in from the start. */
import type { MemorySocket } from './memory-socket.ts';

export interface Quirks {
  /** What becomes of the octets of a literal that is refused. */
  readonly refused: 'run' | 'discarded';
  /** Whether `{n+}` is known; where it is not, that is a literal refused. */
  readonly nonSync: boolean;
  /** Whether a brace within an open quote announces a literal all the same. */
  readonly quoted: boolean;
  /** Whether arguments too many, and literals among them, are skipped without a look at them. */
  readonly skips: boolean;
  /** Whether `IDLE x` idles, and ends at its own `x`. */
  readonly idles: boolean;
  /** Whether a bare CR, or a NUL, ends a line. */
  readonly bare: boolean;
}

/** Arguments that are looked at. */
const TAKEN: Readonly<Record<string, number>> = {
  NOOP: 0,
  UNSELECT: 0,
  IDLE: 0,
  SELECT: 1,
  SUBSCRIBE: 1,
  STATUS: 2,
  ENABLE: 1,
};

export class QuirkyImap {
  readonly #socket: MemorySocket;
  readonly #quirks: Quirks;
  #text = '';
  /** Text of the command under way, and the octets of its literal that are to come. */
  #command = '';
  #literal = 0;
  #idle: string | undefined;
  #enabled = false;
  #selected = false;

  /** Answers whatever comes from the other end of this socket. */
  static serve(socket: MemorySocket, quirks: Quirks): QuirkyImap {
    return new QuirkyImap(socket, quirks);
  }

  private constructor(socket: MemorySocket, quirks: Quirks) {
    this.#socket = socket;
    this.#quirks = quirks;
    socket.on('data', (bytes: Buffer) => {
      this.#text += bytes.toString('latin1');
      while (this.#step());
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => socket.destroy());
  }

  #step(): boolean {
    if (this.#literal > 0) {
      const octets = this.#text.slice(0, this.#literal);
      this.#text = this.#text.slice(octets.length);
      this.#literal -= octets.length;
      if (this.#literal > 0) return false;
    }
    const end = (this.#quirks.bare ? /\r\n|\r(?!$)|\0|\n/ : /\r\n/).exec(this.#text);
    if (end === null) return false;
    const line = this.#text.slice(0, end.index);
    this.#text = this.#text.slice(end.index + end[0].length);
    this.#line(line);
    return true;
  }

  #line(line: string): void {
    if (this.#idle !== undefined) {
      const tag = this.#idle;
      this.#idle = undefined;
      return this.#say(line.toUpperCase() === 'DONE' ? `${tag} OK done` : `${tag} BAD Expected DONE.`);
    }
    const whole = this.#command + line;
    this.#command = '';
    const [, tag, verb = ''] = /^([^ ]+) ([a-z]+)/i.exec(whole) ?? [];
    if (tag === undefined) return this.#say('* BAD no command');
    const known = TAKEN[verb.toUpperCase()];
    const announced = /\{(\d+)(\+?)\}$/.exec(line);
    const open = (line.match(/"/g)?.length ?? 0) % 2 === 1;
    const skipped = known !== undefined && this.#quirks.skips && whole.split(' ').length - 2 > known;
    if (announced !== null && (!open || this.#quirks.quoted) && !skipped) {
      const waits = announced[2] === '';
      const taken = (verb.toUpperCase() === 'APPEND' || (known ?? 0) > 0) && (waits || this.#quirks.nonSync);
      if (taken) {
        this.#command = `${whole.slice(0, -announced[0].length)}literal`;
        this.#literal = Number(announced[1]);
        if (waits) this.#socket.write('+ go on\r\n');
        return undefined;
      }
      if (!waits && this.#quirks.refused === 'discarded') this.#literal = Number(announced[1]);
      return this.#say(`${tag} BAD no literal here`);
    }
    if (open) return this.#say(`${tag} BAD a quote is open`);
    return this.#answer(tag, verb.toUpperCase(), whole.slice(tag.length + verb.length + 2));
  }

  #answer(tag: string, verb: string, rest: string): void {
    switch (verb) {
      case 'NOOP':
      case 'STATUS':
      case 'SUBSCRIBE':
      case 'APPEND':
        return this.#say(`${tag} OK done`);
      case 'ENABLE':
        this.#enabled = true;
        return this.#say('* ENABLED CONDSTORE', `${tag} OK done`);
      case 'SELECT':
        this.#selected = true;
        return this.#say('* 1 EXISTS', '* OK [UIDVALIDITY 1] ids', `${tag} OK [READ-WRITE] done`);
      case 'UNSELECT':
        this.#selected = false;
        return this.#say(`${tag} OK done`);
      case 'FETCH':
        return this.#selected
          ? this.#say(`* 1 FETCH (${this.#items(rest)})`, `${tag} OK done`)
          : this.#say(`${tag} BAD nothing is selected`);
      case 'IDLE':
        if (rest !== '' && !this.#quirks.idles) return this.#say(`${tag} BAD no arguments`);
        this.#socket.write('+ idling\r\n');
        this.#idle = tag;
        if (rest !== '') this.#line(rest);
        return undefined;
      case 'LOGOUT':
        this.#say('* BYE', `${tag} OK done`);
        this.#socket.end();
        return undefined;
      default:
        return this.#say(`${tag} BAD unknown`);
    }
  }

  /** What is known of the only message. */
  #items(asked: string): string {
    const uid = asked.includes('UID') ? ['UID 7'] : [];
    return [...uid, ...(asked.includes('FLAGS') ? [`FLAGS (${this.#enabled ? 'aware' : ''})`] : [])].join(' ');
  }

  #say(...lines: readonly string[]): void {
    if (this.#socket.writable) this.#socket.write(lines.map((line) => `${line}\r\n`).join(''));
  }
}
