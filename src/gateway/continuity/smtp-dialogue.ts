/**
 * Where an SMTP session stands as it passes: which replies are due, and whether a mail transaction is open (RFC 5321 §3.3,
 * RFC 2920, RFC 3030). The text of messages is not looked at: the server's reply ends it. No I/O.
 */

const CR = 0x0d;
const LF = 0x0a;
const NOTHING = Buffer.alloc(0);
/** RFC 4954 §4 allows 12,288 octets for AUTH, the longest line there is. */
const MOST_LINE = 16 * 1024;

export class SmtpDialogue {
  /** Verbs whose replies are due; `.` stands for a message's text. */
  #due: string[] = [];
  #transaction = false;
  /** `data`: the text of a message passes. */
  #mode: 'command' | 'data' = 'command';
  /** Octets of a BDAT chunk still to come. */
  #chunk = 0;
  #line: Buffer = NOTHING;
  #reply: Buffer = NOTHING;
  #farewell: string | undefined;
  #lost = false;
  #quitting = false;

  /** True when the server owes nothing and no mail transaction is open: another one could go on. */
  get idle(): boolean {
    return !this.#lost && this.#due.length === 0 && !this.#transaction && this.#mode === 'command' && this.#chunk === 0;
  }

  /** True when the client has had whole replies only. */
  get speakable(): boolean {
    return !this.#lost && this.#reply.length === 0;
  }

  /** True once the client has said QUIT. */
  get leaving(): boolean {
    return this.#quitting;
  }

  /** The whole text of a message has gone to the server, as far as can be told: it may have been taken. */
  get delivering(): boolean {
    return this.#mode === 'data' || this.#due.some((verb) => verb === 'BDAT LAST');
  }

  /** The server's 421 that nobody asked for. */
  get farewell(): string | undefined {
    return this.#farewell;
  }

  /** Another server speaks from now on. */
  restart(): void {
    this.#farewell = undefined;
    this.#reply = NOTHING;
  }

  fromClient(bytes: Buffer): void {
    if (this.#lost || this.#mode === 'data') return;
    let data = this.#line.length === 0 ? bytes : Buffer.concat([this.#line, bytes]);
    this.#line = NOTHING;
    while (data.length > 0) {
      if (this.#chunk > 0) {
        const octets = Math.min(this.#chunk, data.length);
        this.#chunk -= octets;
        data = data.subarray(octets);
        continue;
      }
      const lf = data.indexOf(LF);
      if (lf === -1) {
        this.#lost ||= data.length > MOST_LINE;
        this.#line = Buffer.from(data);
        return;
      }
      this.#command(data.toString('latin1', 0, lf));
      data = data.subarray(lf + 1);
    }
  }

  /** @returns what the client gets: everything but a 421 that nobody asked for while the session was idle */
  fromServer(bytes: Buffer): Buffer {
    if (this.#lost) return bytes;
    let data = this.#reply.length === 0 ? bytes : Buffer.concat([this.#reply, bytes]);
    const all = data;
    let passed = 0;
    for (let lf = data.indexOf(LF); lf !== -1; lf = data.indexOf(LF)) {
      const line = data.toString('latin1', 0, data[lf - 1] === CR ? lf - 1 : lf);
      if (this.idle && line.startsWith('421')) {
        this.#farewell = line;
        this.#reply = NOTHING;
        return all.subarray(0, passed);
      }
      passed += lf + 1;
      data = data.subarray(lf + 1);
      if (/^\d{3}(?: |$)/.test(line)) this.#answered(line);
    }
    this.#reply = Buffer.from(data);
    this.#lost ||= this.#reply.length > MOST_LINE;
    return this.#lost ? all : all.subarray(0, passed);
  }

  #command(line: string): void {
    const [verb = '', argument = '', last = ''] = line.trimEnd().toUpperCase().split(' ');
    if (verb !== 'BDAT') this.#due.push(verb);
    else {
      this.#chunk = /^\d{1,15}$/.test(argument) ? Number(argument) : 0;
      this.#due.push(last === 'LAST' ? 'BDAT LAST' : 'BDAT');
    }
    this.#quitting ||= verb === 'QUIT';
    // It may only be refused; the answer tells.
    if (verb === 'MAIL') this.#transaction = true;
  }

  #answered(reply: string): void {
    const verb = this.#mode === 'data' ? '.' : this.#due.shift();
    const good = /^[23]/.test(reply);
    switch (verb) {
      case undefined:
        this.#lost = true; // an answer to nothing we saw
        return;
      case '.':
        this.#mode = 'command';
        this.#transaction = false;
        return;
      case 'DATA':
        if (good) this.#mode = 'data';
        return;
      case 'MAIL':
        if (!good) this.#transaction = false;
        return;
      case 'BDAT LAST':
      case 'RSET':
      case 'EHLO':
      case 'HELO':
        this.#transaction &&= !good;
        return;
      default:
    }
  }
}
