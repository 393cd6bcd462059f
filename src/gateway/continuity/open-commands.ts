/** The client's commands that the server has not answered yet, in the order they were sent. */
import { isRepeatable, needsMailbox, selects } from './commands-known.ts';
import type { Command } from './command.ts';
import { InTurn } from './in-turn.ts';

const SPACE = 0x20;

interface Open {
  readonly command: Command;
  /** Octets the client had received when it began. */
  received: number;
}

export class OpenCommands {
  /** By tag. */
  readonly #open = new Map<string, Open>();
  /** In the order they were sent, some that are over among them: a map is slow to find the first of what is left. */
  readonly #order = new InTurn<Open>();
  /** The server has answered one before another that was sent earlier: what it says now may belong to any of them. */
  #outOfTurn = false;

  get count(): number {
    return this.#open.size;
  }

  begin(command: Command, received: number): void {
    const open = { command, received };
    this.#open.set(command.tag, open);
    this.#order.push(open);
  }

  has(tag: string): boolean {
    return this.#open.has(tag);
  }

  /** Whether this line of a server begins with the tag of the command that has waited longest, and a status. */
  isAnsweredBy(line: Buffer): boolean {
    const tag = this.#order.first?.command.tag;
    if (tag === undefined || line.length < tag.length + 4) return false;
    for (let at = 0; at < tag.length; at++) if (line[at] !== tag.charCodeAt(at)) return false;
    if (line[tag.length] !== SPACE) return false;
    const status = line.toString('latin1', tag.length + 1, tag.length + 4);
    return status === 'OK ' || status === 'NO ' || status === 'BAD';
  }

  /** @returns the command of this tag, which is over */
  answered(tag: string): Command | undefined {
    const found = this.#open.get(tag);
    if (found === undefined) return undefined;
    this.#outOfTurn ||= this.#order.first !== found;
    this.#open.delete(tag);
    this.#outOfTurn &&= this.#open.size > 0;
    this.#forget();
    return found.command;
  }

  /** Those that are over, up to the first that is not. */
  #forget(): void {
    for (let { first } = this.#order; first !== undefined; { first } = this.#order) {
      if (this.#open.get(first.command.tag) === first) return;
      this.#order.shift();
    }
  }

  /** All but one. */
  others(than: Command | undefined): readonly Command[] {
    return [...this.#open.values()].map(({ command }) => command).filter((command) => command !== than);
  }

  /**
   * Whether all of them may be sent again in this order to a server that has selected the same mailbox: they only read, and nothing of
   * an answer has come. Otherwise nobody knows what became of some.
   * @param received octets the client has received
   * @param within what came last belongs to an answer that is not complete
   * @param except an IDLE, which is begun again in any case
   */
  repeatable(received: number, within: boolean, except: Command | undefined): boolean {
    let inMailbox = false;
    for (const { command, received: before } of this.#open.values()) {
      if (command === except) continue;
      const untouched = before === received || (!within && !this.#outOfTurn) || command.verb === 'NOOP';
      if (!untouched || !isRepeatable(command)) return false;
      if (selects(command.verb) && inMailbox) return false; // those before it are for the mailbox that it leaves
      inMailbox ||= needsMailbox(command.verb);
    }
    return true;
  }

  /** They have been sent again: what was received before is not of their answers. */
  renew(received: number): void {
    this.#outOfTurn = false;
    for (const open of this.#open.values()) open.received = received;
  }
}
