/**
 * Where an SMTP session stands as it passes: which replies are due, whether a mail transaction is open, who a message is from and
 * whom it goes to (RFC 5321 §3.3, RFC 2920, RFC 3030). Commands are passed on as whole lines; what may not pass is answered here, in
 * its turn. No I/O.
 */
import { parsePath } from '../../protocol/smtp/envelope.ts';
import { InTurn } from './in-turn.ts';
import { SmtpText } from './smtp-text.ts';

const CR = 0x0d;
const LF = 0x0a;
const NOTHING = Buffer.alloc(0);
const NOBODY: readonly RelayedMessage[] = [];
/** RFC 4954 §4 allows 12,288 octets for AUTH, the longest line there is. */
const MAX_LINE = 16 * 1024;
/** Recipients whose addresses are kept for the record; more are counted. */
const MAX_NAMED = 100;

/** What may pass. A reply refuses. */
export interface SmtpRules {
  /** @param address empty for the null reverse-path */
  sender(address: string): string | undefined;
  /** @param header as it came @param sender of the envelope */
  header(header: Buffer, sender: string): string | undefined;
}

/** A message the server has answered. */
export interface RelayedMessage {
  readonly from: string;
  /** Those the server took, the first hundred of them. */
  readonly to: readonly string[];
  readonly recipients: number;
  /** Octets of its text. */
  readonly octets: number;
  /** Of its header, with angle brackets; undefined where there is none, or more than one. */
  readonly messageId: string | undefined;
  /** The last line of the answer. */
  readonly reply: string;
  readonly taken: boolean;
}

interface Due {
  readonly verb: string;
  /** Of MAIL and RCPT. */
  readonly address?: string;
  /** Ours, said when its turn comes; the server knows nothing of it. */
  readonly reply?: string;
  /** Whose end it is. */
  readonly text?: SmtpText | undefined;
}

interface Transaction {
  readonly from: string;
  readonly to: string[];
  recipients: number;
}

export class SmtpDialogue {
  readonly #rules: SmtpRules;
  readonly #due = new InTurn<Due>();
  #transaction: Transaction | undefined;
  /** Of the MAIL that was said last: a chunk may come before its answer. */
  #from = '';
  /** `asked`: DATA was said and not answered; `text`: the text of a message passes; `refused`: nobody gets the rest of it. */
  #mode: 'command' | 'asked' | 'text' | 'refused' = 'command';
  #text: SmtpText | undefined;
  /** The reply for a text that was refused, at its end. */
  #objection: string | undefined;
  /** What came behind DATA before its answer. */
  #early: Buffer = NOTHING;
  /** Octets of a BDAT chunk still to come, and whether it is the last. */
  #chunk = 0;
  #lastChunk = false;
  #line: Buffer = NOTHING;
  #reply: Buffer = NOTHING;
  #farewell: string | undefined;
  #lost = false;
  #quitting = false;
  #ended: RelayedMessage[] = [];

  constructor(rules: SmtpRules) {
    this.#rules = rules;
  }

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

  /** The whole text of a message has gone to the server: it may have been taken. */
  get delivering(): boolean {
    return this.#due.some(({ verb }) => verb === '.' || verb === 'BDAT LAST');
  }

  /** The server's 421 that nobody asked for. */
  get farewell(): string | undefined {
    return this.#farewell;
  }

  /** Something came behind DATA before its answer; no more is to be read until then. */
  get early(): boolean {
    return this.#early.length > 0;
  }

  /** What came too early and can be looked at now. */
  get waiting(): boolean {
    return this.#early.length > 0 && this.#mode !== 'asked';
  }

  /** The rest of a message goes to nobody: the server is to be dropped in the middle of its text. */
  get refusing(): boolean {
    return this.#mode === 'refused';
  }

  /** Another server speaks from now on. */
  restart(): void {
    this.#farewell = undefined;
    this.#reply = NOTHING;
  }

  /** Messages that were answered since the last call. */
  takeEnded(): readonly RelayedMessage[] {
    if (this.#ended.length === 0) return NOBODY;
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  takeEarly(): Buffer {
    const early = this.#early;
    this.#early = NOTHING;
    return early;
  }

  /**
   * @returns what goes to the server and what the client is told at once; `cut`: the session cannot go on, with this last line;
   * `rest`: what follows a refused message
   */
  fromClient(bytes: Buffer): { pass: Buffer; say?: string; cut?: string; rest?: Buffer } {
    if (this.#lost)
      return { pass: NOTHING, cut: '421 4.3.0 the dialogue with the provider cannot be followed any more' };
    const pass: Buffer[] = [];
    const done = () => ({ pass: pass.length === 1 ? pass[0]! : Buffer.concat(pass) });
    let say = '';
    let data = bytes;
    while (data.length > 0) {
      if (this.#mode === 'asked') {
        this.#early = Buffer.concat([this.#early, data]);
        break;
      }
      if (this.#mode === 'text' || this.#mode === 'refused') {
        const { end, ambiguous, objection } = this.#text!.dotted(data);
        if (ambiguous) return { ...done(), cut: '554 5.6.11 a line with a dot follows a line end that is no CRLF' };
        if (objection !== undefined) {
          this.#mode = 'refused';
          this.#objection = objection;
        }
        const refused = this.#mode === 'refused';
        if (!refused) pass.push(end === undefined ? data : data.subarray(0, end));
        if (end === undefined) break;
        data = data.subarray(end);
        if (refused) {
          const reply = this.#finish(this.#objection!, false, this.#text);
          this.#text = undefined;
          return { ...done(), say: `${say}${reply}\r\n`, rest: data };
        }
        this.#mode = 'command';
        this.#due.push({ verb: '.', text: this.#text });
        this.#text = undefined;
        continue;
      }
      if (this.#chunk > 0) {
        const chunk = data.subarray(0, this.#chunk);
        this.#chunk -= chunk.length;
        const isLast = this.#lastChunk && this.#chunk === 0;
        const objection = this.#text!.counted(chunk, isLast);
        if (objection !== undefined) {
          this.#finish(objection, false, this.#text);
          return { ...done(), cut: objection };
        }
        if (isLast) this.#text = undefined;
        pass.push(chunk);
        data = data.subarray(chunk.length);
        continue;
      }
      const lf = data.indexOf(LF);
      const length = this.#line.length + (lf === -1 ? data.length : lf);
      if (length > MAX_LINE) return { ...done(), cut: '500 5.5.2 the line is too long' };
      if (lf === -1) {
        this.#line = Buffer.concat([this.#line, data]);
        break;
      }
      const line =
        this.#line.length === 0 ? data.subarray(0, lf + 1) : Buffer.concat([this.#line, data.subarray(0, lf + 1)]);
      this.#line = NOTHING;
      const reply = this.#command(line);
      if (reply === undefined) pass.push(line);
      else if (this.#due.length === 0) say += `${reply}\r\n`;
      else this.#due.push({ verb: '', reply });
      data = data.subarray(lf + 1);
    }
    // The very octets that came, where all of them pass: they need no copy.
    const all =
      pass.length > 1 && pass.reduce((sum, { length }) => sum + length, 0) === bytes.length && this.#line.length === 0;
    const out = all && pass.every(({ buffer }) => buffer === bytes.buffer) ? { pass: bytes } : done();
    return say === '' ? out : { ...out, say };
  }

  /** @returns what the client gets: everything but a 421 that nobody asked for while the session was idle, and our replies in turn */
  fromServer(bytes: Buffer): Buffer {
    if (this.#lost) return bytes;
    let data = this.#reply.length === 0 ? bytes : Buffer.concat([this.#reply, bytes]);
    const all = data;
    const parts: Buffer[] = [];
    let from = 0;
    let passed = 0;
    const told = (): Buffer => {
      const rest = all.subarray(from, passed);
      return parts.length === 0 ? rest : Buffer.concat([...parts, rest]);
    };
    for (let lf = data.indexOf(LF); lf !== -1; lf = data.indexOf(LF)) {
      const line = data.toString('latin1', 0, data[lf - 1] === CR ? lf - 1 : lf);
      if (this.idle && line.startsWith('421')) {
        this.#farewell = line;
        this.#reply = NOTHING;
        return told();
      }
      passed += lf + 1;
      data = data.subarray(lf + 1);
      if (!/^\d{3}(?: |$)/.test(line)) continue;
      this.#answered(line);
      for (let next = this.#due.first; next?.reply !== undefined; next = this.#due.first) {
        this.#due.shift();
        parts.push(all.subarray(from, passed), Buffer.from(`${next.reply}\r\n`, 'latin1'));
        from = passed;
      }
    }
    this.#reply = Buffer.from(data);
    this.#lost ||= this.#reply.length > MAX_LINE;
    if (this.#lost) passed = all.length;
    return told();
  }

  /** @param line with its line end @returns our reply to what may not pass */
  #command(line: Buffer): string | undefined {
    const text = line.toString('latin1').replace(/\r?\n$/, '');
    if (/[\r\0]/.test(text)) return '500 5.5.2 a line has a CR or NUL in it';
    const trimmed = text.trimStart();
    const end = trimmed.search(/\s/);
    const [name, argument] = end === -1 ? [trimmed, ''] : [trimmed.slice(0, end), trimmed.slice(end).trimStart()];
    const verb = name.toUpperCase();
    switch (verb) {
      case 'MAIL':
      case 'RCPT': {
        const path = parsePath(verb === 'MAIL' ? 'FROM' : 'TO', Buffer.from(argument, 'latin1').toString('utf8'));
        if (!path) return `501 5.5.4 ${verb} ${verb === 'MAIL' ? 'FROM' : 'TO'}:<address> was expected`;
        const { address } = path;
        const objection = verb === 'MAIL' ? this.#rules.sender(address) : undefined;
        if (objection !== undefined) return objection;
        this.#due.push({ verb, address });
        if (verb === 'MAIL') this.#from = address;
        return undefined;
      }
      case 'DATA':
        this.#mode = 'asked';
        break;
      case 'BDAT': {
        const [, size = '0', last] = /^(\d{1,15})(?:[ \t]+(LAST))?[ \t]*$/i.exec(argument) ?? [];
        this.#chunk = Number(size);
        this.#lastChunk = last !== undefined;
        this.#text ??= this.#newText();
        const { counted, end } = { counted: this.#text, end: this.#lastChunk && this.#chunk === 0 };
        // `BDAT 0 LAST`: the header is judged without another octet.
        const objection = end ? counted.counted(NOTHING, true) : undefined;
        if (objection !== undefined) return objection;
        this.#due.push(this.#lastChunk ? { verb: 'BDAT LAST', text: counted } : { verb: 'BDAT' });
        if (end) this.#text = undefined;
        return undefined;
      }
      case 'RSET':
      case 'EHLO':
      case 'HELO':
        this.#text = undefined;
        break;
      case 'QUIT':
        this.#quitting = true;
    }
    this.#due.push({ verb });
    return undefined;
  }

  #newText(): SmtpText {
    return new SmtpText((header) => this.#rules.header(header, this.#from));
  }

  #answered(reply: string): void {
    const due = this.#due.shift();
    const good = /^[23]/.test(reply);
    if (due === undefined) {
      // An answer to nothing we saw; a server may refuse a text before its end, and reads on to it.
      if (this.#mode !== 'text') this.#lost = true;
      return;
    }
    switch (due.verb) {
      case 'MAIL':
        if (good) this.#transaction = { from: due.address!, to: [], recipients: 0 };
        return;
      case 'RCPT':
        if (!good || !this.#transaction) return;
        this.#transaction.recipients += 1;
        if (this.#transaction.to.length < MAX_NAMED) this.#transaction.to.push(due.address!);
        return;
      case 'DATA':
        this.#mode = good ? 'text' : 'command';
        if (good) this.#text = this.#newText();
        return;
      case '.':
      case 'BDAT LAST':
        this.#finish(reply, good, due.text);
        return;
      case 'BDAT':
        if (!good) this.#finish(reply, false, this.#text);
        return;
      case 'RSET':
      case 'EHLO':
      case 'HELO':
        if (good) this.#transaction = undefined;
    }
  }

  /** @returns the reply */
  #finish(reply: string, taken: boolean, text: SmtpText | undefined): string {
    if (this.#transaction)
      this.#ended.push({ ...this.#transaction, octets: text?.octets ?? 0, messageId: text?.messageId, reply, taken });
    this.#transaction = undefined;
    if (this.#mode === 'refused') this.#mode = 'command';
    return reply;
  }
}
