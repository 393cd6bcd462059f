/** A program that reads megabytes and keeps only the end of them, which is where the answer is. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import type { Address } from '../interop/client.ts';

const KEPT = 600;
const PATIENCE_MS = 60_000;

export class TailWire {
  readonly #socket: TLSSocket;
  #tail = '';
  #gone: Error | undefined;
  #wake: (() => void) | undefined;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on('data', (data: Buffer) => {
      this.#tail = (this.#tail + data.toString('latin1', Math.max(0, data.length - KEPT))).slice(-KEPT);
      this.#wake?.();
    });
    const gone = (error: Error): void => {
      this.#gone ??= error;
      this.#wake?.();
    };
    socket.on('error', gone);
    socket.on('close', () => gone(new Error('closed before the answer')));
  }

  static async open(address: Address, ca: string): Promise<TailWire> {
    const socket = connect({ ...address, ca });
    await once(socket, 'secureConnect');
    return new TailWire(socket);
  }

  /** Sends octets and waits for the end of what comes back. @throws when it is a refusal, or nothing */
  async ask(octets: string, pattern: RegExp): Promise<void> {
    this.#tail = '';
    if (octets !== '') this.#socket.write(octets, 'latin1');
    for (const end = performance.now() + PATIENCE_MS; !pattern.test(this.#tail);) {
      if (/^\w+ (?:NO|BAD) .*\r\n$/m.test(this.#tail)) throw new Error(`refused: ${this.#tail}`);
      if (this.#gone) throw this.#gone;
      if (performance.now() > end) throw new Error(`no ${String(pattern)}: ${JSON.stringify(this.#tail)}`);
      await Promise.race([new Promise<void>((resolve) => void (this.#wake = resolve)), delay(1000)]);
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
