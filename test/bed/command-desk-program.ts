/** The other side of command-desk.ts: runs one command after the other by the function that `postern` runs, and says what it said. */
import process from 'node:process';
import { run } from '../../src/cli/run.ts';
import type { DeskAnswer, DeskOrder } from './command-desk.ts';

/** What a process of its own would have had on this stream. */
async function heard(streams: readonly NodeJS.WriteStream[], work: () => Promise<void>): Promise<string[]> {
  const pieces: Buffer[][] = streams.map(() => []);
  const originals = streams.map((stream) => stream.write.bind(stream));
  streams.forEach((stream, index) => {
    const write = (piece: string | Uint8Array, second?: unknown, third?: unknown): boolean => {
      pieces[index]!.push(Buffer.from(piece as string));
      const done = typeof second === 'function' ? second : third;
      if (typeof done === 'function') process.nextTick(done);
      return true;
    };
    stream.write = write;
  });
  try {
    await work();
  } finally {
    streams.forEach((stream, index) => void (stream.write = originals[index]!));
  }
  return pieces.map((each) => Buffer.concat(each).toString('base64'));
}

function surround({ args, env }: DeskOrder): void {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  process.argv.splice(2, process.argv.length, ...args);
  process.exitCode = undefined;
}

async function answer(order: DeskOrder): Promise<DeskAnswer> {
  surround(order);
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  try {
    const [stdout, stderr] = await heard([process.stdout, process.stderr], () => run(process.argv));
    return { code: Number(process.exitCode ?? 0), stdout: stdout!, stderr: stderr! };
  } finally {
    for (const event of events) process.removeAllListeners(event);
    for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
    process.exitCode = undefined;
  }
}

async function serve(order: DeskOrder): Promise<void> {
  process.send?.(await answer(order));
}

process.on('message', (order: DeskOrder) => void serve(order));
process.once('disconnect', () => process.exit(0));
