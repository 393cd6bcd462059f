/** The client's commands that the server has not answered yet, in the order they were sent. */
import { isRepeatable } from './commands-known.ts';
import type { Command } from './commands.ts';
import { InTurn } from './in-turn.ts';

const SPACE = 0x20;

interface Open {
  readonly command: Command;
  /** Octets the client had received when it began. */
  readonly received: number;
}

export class OpenCommands {
  /** By tag. */
  readonly #open = new Map<string, Open>();
  /** In the order they were sent, some that are over among them: a map is slow to find the first of what is left. */
  readonly #order = new InTurn<Open>();

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
    this.#open.delete(tag);
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
   * Keeps those that may be sent again, because they only read and nothing of an answer has come. After one that may not, none
   * may: what a program sends together belongs together.
   * @returns the others, which are over
   */
  giveUp(received: number, except: Command | undefined): readonly Command[] {
    const lost: Command[] = [];
    for (const { command, received: before } of this.#open.values()) {
      const untouched = before === received || command.verb === 'NOOP';
      if (command !== except && (lost.length > 0 || !untouched || !isRepeatable(command))) lost.push(command);
    }
    for (const { tag } of lost) this.#open.delete(tag);
    this.#forget();
    return lost;
  }
}
