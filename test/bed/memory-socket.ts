/** A socket without a network: what is fed comes in, what is written is collected or goes to the other end of a pair. */
import { Socket } from 'node:net';

export class MemorySocket extends Socket {
  /** Called with everything written. */
  onWritten: (bytes: Buffer) => void = () => undefined;
  /** Called once when our side is ended. */
  onFinished: () => void = () => undefined;

  constructor() {
    super({ allowHalfOpen: true });
  }

  /** Octets from the other side. */
  feed(bytes: Buffer): void {
    if (!this.destroyed && !this.readableEnded) this.push(bytes);
  }

  /** The other side has ended. */
  finish(): void {
    if (!this.destroyed && !this.readableEnded) this.push(null);
  }

  override _read(): void {
    // Everything is pushed by feed.
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.onWritten(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk);
    done();
  }

  override _writev(
    chunks: { chunk: Buffer | string; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    for (const { chunk, encoding } of chunks)
      this.onWritten(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk);
    done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.onFinished();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    done(error);
    process.nextTick(() => this.emit('close', error !== null)); // a net.Socket leaves that to its handle
  }
}

/** Two ends: what one writes the other reads, in a later turn of the loop. */
export function memoryPair(): readonly [MemorySocket, MemorySocket] {
  const pair = [new MemorySocket(), new MemorySocket()] as const;
  for (const [from, to] of [pair, [pair[1], pair[0]] as const]) {
    from.onWritten = (bytes) => void setImmediate(() => to.feed(bytes));
    from.onFinished = () => void setImmediate(() => to.finish());
    from.once('close', () => setImmediate(() => to.finish()));
  }
  return pair;
}
