/** A mail program reduced to lines. */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Conn } from '../../src/protocol/wire/conn.ts';

/** A mail program reduced to lines. */
export class Client {
  readonly conn: Conn;

  constructor(socket: Socket) {
    this.conn = new Conn(socket, { idleMs: 5000 });
  }

  static async open(port: number, ca?: string): Promise<Client> {
    const socket =
      ca === undefined
        ? connectTcp(port, '127.0.0.1')
        : connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca });
    await once(socket, ca === undefined ? 'connect' : 'secureConnect');
    socket.setNoDelay(true);
    return new Client(socket);
  }

  async send(...lines: readonly string[]): Promise<void> {
    await this.conn.write(lines.map((line) => `${line}\r\n`).join(''));
  }

  /** The next line; `<end>` when the gateway has closed. */
  async line(): Promise<string> {
    return (await this.conn.line(1 << 20))?.toString() ?? '<end>';
  }

  /** Lines until one matches, that one included. */
  async until(pattern: RegExp): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      lines.push(line);
      if (pattern.test(line) || line === '<end>') return lines;
    }
  }

  /** Sends a line and reads until the pattern matches; the last line. */
  async ask(line: string, pattern: RegExp): Promise<string> {
    await this.send(line);
    return (await this.until(pattern)).at(-1)!;
  }

  async startTls(ca: string): Promise<void> {
    await this.conn.upgrade(async (plain) => {
      const socket = connectTls({ socket: plain, servername: 'localhost', ca });
      await once(socket, 'secureConnect');
      return socket;
    });
  }

  destroy(): void {
    this.conn.destroy();
  }
}
