/** A mail program reduced to tagged commands, signed in through the gateway. */
import assert from 'node:assert/strict';
import { Wire } from './wire.ts';

export interface Door {
  readonly imap: { readonly host: string; readonly port: number };
  readonly user: string;
  readonly password: string;
}

export class ImapProgram {
  readonly wire: Wire;
  #tag = 0;

  private constructor(wire: Wire) {
    this.wire = wire;
  }

  static async open({ imap, user, password }: Door): Promise<ImapProgram> {
    const program = new ImapProgram(await Wire.open(imap));
    await program.wire.until(/^\* OK .*\r\n/);
    await program.ask(`LOGIN ${user} ${password}`);
    return program;
  }

  /** Everything up to the tagged answer, which has to have this status. */
  async ask(command: string, status: 'OK' | 'NO' | 'BAD' = 'OK'): Promise<string> {
    const tag = `t${++this.#tag}`;
    this.wire.send(`${tag} ${command}\r\n`);
    const answer = await this.wire.until(new RegExp(`^${tag} .*\r\n`, 'm'));
    assert.match(answer, new RegExp(`^${tag} ${status}`, 'm'), command);
    return answer;
  }
}
