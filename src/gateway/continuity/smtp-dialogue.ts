/**
 * Where an SMTP session stands as it passes: which replies are due, whether a mail transaction is open, who a message is from and
 * whom it goes to (RFC 5321 §3.3, RFC 2920, RFC 3030). Commands are passed on as whole lines, written again; what may not pass is
 * answered here, in its turn. A message is judged by what the server has accepted: text and chunks wait until all before them is
 * answered, and no chunk passes before the header is judged. No I/O.
 */
import type { Chunk } from '../../protocol/smtp/command-line.ts';
import { DueReplies } from './smtp-due.ts';
import { chunkLine, type Fate, hasChunking, readCommandLine } from './smtp-line.ts';
import { type ChunkUnderWay, type Mode, type RelayedMessage, type SmtpRules, Transactions } from './smtp-message.ts';
import { SmtpText } from './smtp-text.ts';
import { Unfinished } from './unfinished.ts';

const CR = 0x0d;
const LF = 0x0a;
const NOTHING = Buffer.alloc(0);
/** RFC 5321 §4.5.3.1.4 allows 512 octets, and extensions add some; Postfix reads as many. What a server cuts it may run in two. */
const MAX_LINE = 2048;
const MAX_REPLY = 16 * 1024;

export class SmtpDialogue {
  readonly #rules: SmtpRules;
  readonly #due = new DueReplies();
  readonly #transactions = new Transactions();
  #mode: Mode = 'command';
  /** Of the transaction, once some of it has come. */
  #text: SmtpText | undefined;
  /** This server takes chunks (RFC 3030). */
  #chunking: boolean;
  /** The answer to EHLO that comes just now says so. */
  #announced = false;
  /** The reply for a text that was refused, at its end. */
  #objection: string | undefined;
  /** What came before an answer that it depends on. */
  readonly #early = new Unfinished();
  #chunk: ChunkUnderWay | undefined;
  /** The server refused a message before its end. Nobody knows what it would take the rest for: it gets nothing more. */
  #abandoned = false;
  readonly #line = new Unfinished();
  readonly #reply = new Unfinished();
  /** The server's 421 that nobody asked for. */
  farewell: string | undefined;
  #lost = false;
  #quitting = false;

  /** @param capabilities EHLO lines of the server */
  constructor(rules: SmtpRules, capabilities: readonly string[] = []) {
    this.#rules = rules;
    this.#chunking = hasChunking(capabilities);
  }

  /** Octets that are held for the program: what is not whole, and what it has not been answered. */
  get held(): number {
    return this.#line.memory + this.#early.memory + this.#due.octets + (this.#text?.memory ?? 0);
  }

  /** True when the server owes nothing and no mail transaction is open: another one could go on. */
  get idle(): boolean {
    return !this.#lost && this.#due.length === 0 && !this.#isOpen && this.#mode === 'command' && !this.#chunk;
  }

  get #isOpen(): boolean {
    return this.#transactions.sender !== undefined;
  }

  /** True when the client has had whole replies only. */
  get speakable(): boolean {
    return !this.#lost && this.#reply.length === 0;
  }

  /** True once the client has said QUIT, when all before it is answered. */
  get leaving(): boolean {
    return this.#quitting && this.#due.length <= 1;
  }

  /** An answer is due, or something waits for one. */
  get owing(): boolean {
    return !this.#lost && (this.#due.length > 0 || this.early);
  }

  /** The whole text of a message has gone to the server: it may have been taken. */
  get delivering(): boolean {
    return this.#due.hasMessage;
  }

  /** Something came before an answer that it depends on; no more is to be read until then. */
  get early(): boolean {
    return this.#early.length > 0;
  }

  /** What came too early and can be looked at now. */
  get waiting(): boolean {
    if (this.#early.length === 0 || this.#mode === 'asked') return false;
    return this.#mode === 'held' ? this.#due.length === 0 : this.#mode !== 'full' || this.#due.roomy;
  }

  /** The rest of a message goes to nobody: the server is to be dropped in the middle of its text. */
  get refusing(): boolean {
    return this.#mode === 'refused' || this.#abandoned;
  }

  /** Another server speaks from now on. @param capabilities its EHLO lines */
  restart(capabilities: readonly string[]): void {
    this.farewell = undefined;
    this.#reply.take();
    this.#chunking = hasChunking(capabilities);
  }

  /** Messages that were answered since the last call. */
  takeEnded(): readonly RelayedMessage[] {
    return this.#transactions.takeEnded();
  }

  takeEarly(): Buffer {
    if (this.#mode === 'held' || this.#mode === 'full') this.#mode = 'command';
    return this.#early.take();
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
    /** All of it has passed so far, and nothing else. */
    let same = this.#line.length === 0;
    while (data.length > 0) {
      if (this.#mode === 'asked' || this.#mode === 'held' || this.#mode === 'full') {
        this.#early.add(data);
        same = false;
        break;
      }
      if (this.#mode === 'text' || this.#mode === 'refused') {
        const { end, ambiguous, objection } = this.#text!.dotted(data);
        if (ambiguous) return { ...done(), cut: '554 5.6.11 a line with a dot follows a line end that is no CRLF' };
        if (objection !== undefined && this.#mode === 'text') {
          this.#mode = 'refused';
          this.#objection = objection;
        }
        const refused = this.#mode === 'refused';
        if (!refused) pass.push(end === undefined ? data : data.subarray(0, end));
        if (end === undefined) break;
        data = data.subarray(end);
        if (refused) {
          if (!this.#abandoned) say += `${this.#finish(this.#objection!, false, this.#text)}\r\n`;
          this.#text = undefined;
          return this.#swallowed(pass, say, data);
        }
        this.#mode = 'command';
        this.#due.add({ verb: '.', text: this.#text });
        this.#text = undefined;
        continue;
      }
      const chunk = this.#chunk;
      if (chunk !== undefined) {
        const octets = data.subarray(0, chunk.left);
        chunk.left -= octets.length;
        data = data.subarray(octets.length);
        if (chunk.left === 0) this.#chunk = undefined;
        if (chunk.text === undefined) {
          same = false;
          if (this.#abandoned && chunk.left === 0) return this.#swallowed(pass, say, data);
          continue;
        }
        const fate = this.#octetsOf(chunk, chunk.text, octets);
        same &&= fate.type === 'pass' && fate.octets === octets;
        if (fate.type === 'pass') pass.push(fate.octets);
        else if ('reply' in fate) say += `${fate.reply}\r\n`;
        if (fate.type === 'refused' && chunk.left === 0) return this.#swallowed(pass, say, data);
        continue;
      }
      const lf = data.indexOf(LF);
      const length = this.#line.length + (lf === -1 ? data.length : lf);
      if (length > MAX_LINE) return { ...done(), cut: '500 5.5.2 the line is too long' };
      if (lf === -1) {
        this.#line.add(data);
        same = false;
        break;
      }
      const whole = data.subarray(0, lf + 1);
      const line = this.#line.length === 0 ? whole : this.#line.takeWith(whole);
      const fate = this.#command(line);
      if (fate.type === 'cut') return { ...done(), cut: fate.reply };
      if (fate.type === 'refused') return this.#swallowed(pass, `${say}${fate.reply}\r\n`, data.subarray(lf + 1));
      same &&= fate.type === 'pass' && fate.octets === whole;
      if (fate.type === 'pass') pass.push(fate.octets);
      else if (fate.type === 'hold') {
        this.#mode = fate.until;
        this.#early.add(line);
      } else if (fate.type === 'answer' && this.#due.length === 0) say += `${fate.reply}\r\n`;
      else if (fate.type === 'answer') this.#due.add({ verb: '', reply: fate.reply });
      data = data.subarray(lf + 1);
    }
    // The very octets that came, where all of them pass: they need no copy.
    const out = same ? { pass: bytes } : done();
    return say === '' ? out : { ...out, say };
  }

  /** @returns what the client gets: everything but a 421 that nobody asked for while the session was idle, and our replies in turn */
  fromServer(bytes: Buffer): Buffer {
    if (this.#lost) return bytes;
    if (bytes.indexOf(LF) === -1) {
      this.#reply.add(bytes);
      this.#lost = this.#reply.length > MAX_REPLY;
      return this.#lost ? this.#reply.take() : NOTHING;
    }
    let data = this.#reply.length === 0 ? bytes : this.#reply.takeWith(bytes);
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
        this.farewell = line;
        return told();
      }
      passed += lf + 1;
      data = data.subarray(lf + 1);
      this.#announced ||= this.#due.first?.verb === 'EHLO' && hasChunking([line.slice(4)]);
      if (!/^\d{3}(?: |$)/.test(line)) continue;
      this.#answered(line);
      if (this.#abandoned) return told();
      for (let next = this.#due.first; next?.reply !== undefined; next = this.#due.first) {
        this.#due.take();
        parts.push(all.subarray(from, passed), Buffer.from(`${next.reply}\r\n`, 'latin1'));
        from = passed;
      }
    }
    this.#lost ||= data.length > MAX_REPLY;
    if (this.#lost) passed = all.length;
    else if (data.length > 0) this.#reply.add(data);
    return told();
  }

  /** The rest of a refused message has come, and went nowhere. */
  #swallowed(pass: Buffer[], say: string, rest: Buffer): { pass: Buffer; say?: string; rest: Buffer } {
    this.#mode = 'command';
    this.#abandoned = false;
    return { pass: Buffer.concat(pass), rest, ...(say === '' ? {} : { say }) };
  }

  /** @param line with its line end */
  #command(line: Buffer): Fate {
    const command = readCommandLine(line, (address) => this.#rules.sender(address) === undefined);
    if (this.#due.full) return { type: 'hold', until: 'full' };
    if (typeof command === 'string') return { type: 'answer', reply: command };
    const { verb, octets } = command;
    if ('path' in command) {
      const { address } = command.path;
      const objection = verb === 'MAIL' ? this.#rules.sender(address) : undefined;
      if (objection !== undefined) return { type: 'answer', reply: objection };
      this.#due.add({ verb, address });
      return { type: 'pass', octets };
    }
    if ('chunk' in command)
      return this.#due.length > 0 ? { type: 'hold', until: 'held' } : this.#beginChunk(command.chunk);
    if (verb === 'DATA') {
      // What is kept of a chunk the server knows nothing of: it would take the message without it.
      if (this.#text !== undefined && this.#due.length > 0) return { type: 'hold', until: 'held' };
      if (this.#text !== undefined) return { type: 'answer', reply: '503 5.5.1 BDAT was begun' };
      this.#mode = 'asked';
    } else if (verb === 'QUIT') this.#quitting = true;
    this.#due.add({ verb });
    return { type: 'pass', octets };
  }

  /** Nothing is due: what this server has accepted is known. */
  #beginChunk(chunk: Chunk | undefined): Fate {
    // How much of what follows is text only the program knows.
    if (chunk === undefined) return { type: 'cut', reply: '501 5.5.4 BDAT and a number of octets was expected' };
    const refusal = !this.#chunking
      ? '502 5.5.1 the provider does not take BDAT; use DATA'
      : !this.#isOpen
        ? '503 5.5.1 MAIL and RCPT come before BDAT'
        : undefined;
    const text = refusal === undefined ? (this.#text ??= this.#newText()) : undefined;
    const begun: ChunkUnderWay = { ...chunk, left: chunk.octets, text, passed: false };
    if (chunk.octets > 0) this.#chunk = begun;
    if (text === undefined) return { type: 'answer', reply: refusal! };
    return this.#octetsOf(begun, text, NOTHING);
  }

  /** Octets of a chunk, which pass behind its command as soon as the header is judged. Until then the server knows of none of it. */
  #octetsOf(chunk: ChunkUnderWay, text: SmtpText, octets: Buffer): Fate {
    const ends = chunk.left === 0;
    const judged = text.counted(octets, chunk.last && ends);
    if (judged === undefined)
      return ends ? { type: 'answer', reply: `250 2.0.0 ${chunk.octets} octets received` } : { type: 'kept' };
    if ('objection' in judged) {
      this.#finish(judged.objection, false, text);
      // The server goes, with its transaction. What is still to come of the chunk is for nobody.
      this.#abandoned = true;
      chunk.text = undefined;
      return { type: 'refused', reply: judged.objection };
    }
    if (chunk.last && ends) this.#text = undefined;
    if (chunk.passed) return { type: 'pass', octets: judged.octets };
    chunk.passed = true;
    this.#due.add(chunk.last ? { verb: 'BDAT LAST', text } : { verb: 'BDAT' });
    const line = chunkLine({ octets: judged.octets.length + chunk.left, last: chunk.last });
    return { type: 'pass', octets: Buffer.concat([line, judged.octets]) };
  }

  #newText(): SmtpText {
    const from = this.#transactions.sender!;
    return new SmtpText((header) => this.#rules.header(header, from));
  }

  #answered(reply: string): void {
    const due = this.#due.take();
    const good = /^[23]/.test(reply);
    if (due === undefined) {
      // An answer to nothing we saw, or to a text of which the end has not come.
      if (this.#mode === 'text' && !good) this.#abandon(reply, this.#text);
      else this.#lost = true;
      return;
    }
    switch (due.verb) {
      case 'MAIL':
        if (good) this.#begin(due.address);
        return;
      case 'RCPT':
        if (good) this.#transactions.takes(due.address!);
        return;
      case 'DATA':
        this.#mode = reply.startsWith('3') ? 'text' : 'command';
        if (this.#mode === 'text' && this.#isOpen) this.#text = this.#newText();
        // A server that takes text without a sender is not followed, nor one of which nobody knows whether it takes text.
        else if (good) this.#lost = true;
        return;
      case 'BDAT LAST':
      case 'BDAT':
        if (this.#chunk !== undefined) {
          if (good) this.#lost = true;
          else this.#abandon(reply, this.#chunk.text);
          return;
        }
        if (!good || due.verb === 'BDAT LAST') this.#finish(reply, good, due.text ?? this.#text);
        return;
      case '.':
        this.#finish(reply, good, due.text);
        return;
      case 'EHLO':
      case 'HELO':
        if (good) this.#chunking = this.#announced;
        this.#announced = false;
        if (good) this.#begin();
        return;
      case 'RSET':
        if (good) this.#begin();
    }
  }

  /** What is still to come of this message goes nowhere, and the server is to be dropped. */
  #abandon(reply: string, text: SmtpText | undefined): void {
    this.#finish(reply, false, text);
    this.#abandoned = true;
    if (this.#chunk) this.#chunk.text = undefined;
    // Its end is looked for.
    else {
      this.#mode = 'refused';
      this.#text = text;
    }
  }

  /** Nothing of what came before belongs to it. */
  #begin(from?: string): void {
    this.#transactions.begin(from);
    this.#text = undefined;
  }

  /** @returns the reply */
  #finish(reply: string, taken: boolean, text: SmtpText | undefined): string {
    this.#transactions.end(reply, taken, text);
    this.#text = undefined;
    if (this.#mode === 'refused') this.#mode = 'command';
    return reply;
  }
}
