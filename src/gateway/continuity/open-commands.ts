/** The client's commands that the server has not answered yet, in the order they were sent. */
import { isRepeatable } from './commands-known.ts';
import type { Command } from './commands.ts';

interface Open {
  readonly command: Command;
  /** Octets the client had received when it began. */
  readonly received: number;
}

export class OpenCommands {
  #open: readonly Open[] = [];

  get count(): number {
    return this.#open.length;
  }

  begin(command: Command, received: number): void {
    this.#open = [...this.#open, { command, received }];
  }

  /** @returns the command of this tag, which is over */
  answered(tag: string): Command | undefined {
    const found = this.#open.find(({ command }) => command.tag === tag);
    if (found !== undefined) this.#open = this.#open.filter((each) => each !== found);
    return found?.command;
  }

  /** All but one. */
  others(than: Command | undefined): readonly Command[] {
    return this.#open.map(({ command }) => command).filter((command) => command !== than);
  }

  /**
   * Keeps those that may be sent again, because they only read and nothing of an answer has come. After one that may not, none
   * may: what a program sends together belongs together.
   * @returns the others, which are over
   */
  giveUp(received: number, except: Command | undefined): readonly Command[] {
    const kept: Open[] = [];
    const lost: Command[] = [];
    for (const open of this.#open) {
      const { command } = open;
      const untouched = open.received === received || command.verb === 'NOOP';
      if (command === except || (lost.length === 0 && untouched && isRepeatable(command))) kept.push(open);
      else lost.push(command);
    }
    this.#open = kept;
    return lost;
  }
}
