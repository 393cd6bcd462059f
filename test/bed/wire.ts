/** A peer without manners: raw bytes in, raw bytes out, for tests that break protocols on purpose. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const PATIENCE_MS = 20_000;

export class Wire {
  #socket: Socket;
  #received = '';
  #closed = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#attach();
  }

  /** Connects plainly, or with TLS at once when given the authority to trust. */
  static async open(address: { readonly host: string; readonly port: number }, ca?: string): Promise<Wire> {
    const { host, port } = address;
    const socket = ca === undefined ? connect({ host, port, allowHalfOpen: true }) : connectTls({ host, port, ca });
    await once(socket, ca === undefined ? 'connect' : 'secureConnect');
    return new Wire(socket);
  }

  /** Sends bytes as they are; nothing is added. */
  send(bytes: string | Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Waits until what was received since the last call matches; gives it. @throws when the peer closes or stays silent */
  async until(pattern: RegExp, ms = PATIENCE_MS): Promise<string> {
    const end = performance.now() + ms;
    for (;;) {
      const match = pattern.exec(this.#received);
      if (match) {
        const text = this.#received.slice(0, match.index + match[0].length);
        this.#received = this.#received.slice(text.length);
        return text;
      }
      if (this.#closed)
        throw new Error(`closed before ${String(pattern)}: ${JSON.stringify(this.#received.slice(0, 500))}`);
      if (performance.now() > end)
        throw new Error(`no ${String(pattern)} in ${ms} ms: ${JSON.stringify(this.#received.slice(0, 500))}`);
      await this.#change(end);
    }
  }

  /** Waits until the peer has closed; gives what it said before. */
  async closed(ms = PATIENCE_MS): Promise<string> {
    const end = performance.now() + ms;
    while (!this.#closed) {
      if (performance.now() > end)
        throw new Error(`still open after ${ms} ms: ${JSON.stringify(this.#received.slice(0, 500))}`);
      await this.#change(end);
    }
    return this.#received;
  }

  /** True when the other side has ended or reset the connection. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Turns the connection to TLS. @throws when the handshake fails */
  async secure(ca: string): Promise<void> {
    this.#socket.removeAllListeners();
    const socket = connectTls({ socket: this.#socket, ca, servername: 'localhost' });
    await once(socket, 'secureConnect');
    this.#socket = socket;
    this.#attach();
  }

  /** Says that nothing more will come, and keeps reading. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #attach(): void {
    const wake = (): void => this.#wake?.();
    this.#socket.on('data', (data: Buffer) => {
      this.#received += data.toString('latin1');
      wake();
    });
    const gone = (): void => {
      this.#closed = true;
      wake();
    };
    this.#socket.on('end', gone);
    this.#socket.on('close', gone);
    this.#socket.on('error', gone);
  }

  #change(end: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, end - performance.now()));
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
