/**
 * Sudden death of a real process at an exact point: its Nth write to a file, fsync, or write to a socket. A small library
 * (sudden-death.c), compiled when first needed and loaded into the process, looks at a page shared with the test. It works for
 * any user, costs nothing that can be felt, and makes disks full as well.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { privateFolder } from './process.ts';

/** What is counted: file writes, fsyncs, and socket writes to a program, to PostgreSQL, to the provider. */
export const POINTS = ['write', 'sync', 'reply', 'query', 'upstream'] as const;
export type Point = (typeof POINTS)[number];

/** `torn`: half of the octets are written. `cut`: after the call, and whatever was written and not synced is taken back. */
export const MOMENTS = ['before', 'torn', 'after', 'cut'] as const;
export type Moment = (typeof MOMENTS)[number];

export interface Ports {
  /** Where programs connect. */
  readonly reply?: number;
  readonly query?: number;
  readonly upstream?: number;
}

/** Offsets in the shared page; `struct control` in sudden-death.c. */
const AT = { point: 0, moment: 4, nth: 8, ports: 12, fired: 24, limited: 28, room: 32, counts: 40 } as const;
const OCTETS = 64;

/** What waits for a process, and for its successors on the same home. */
export class SuddenDeath {
  /** Environment of the process. */
  readonly env: Readonly<Record<string, string>>;
  readonly #page: number;
  readonly #folder: { remove(): void };

  /** @param watched files in this folder count */
  constructor(watched: string) {
    const folder = privateFolder();
    const page = join(folder.path, 'page');
    this.#folder = folder;
    this.#page = openSync(page, 'w+', 0o600);
    ftruncateSync(this.#page, OCTETS);
    this.env = { LD_PRELOAD: library(), SUDDEN_DEATH_PAGE: page, SUDDEN_DEATH_FOLDER: watched };
  }

  /** From now on, points counted from here: the `nth` one is the last. */
  arm(point: Point, moment: Moment, nth: number, ports: Ports = {}): void {
    this.disarm();
    const words = [MOMENTS.indexOf(moment), nth, ports.reply ?? 0, ports.query ?? 0, ports.upstream ?? 0, 0];
    this.#write(AT.moment, words);
    this.#write(AT.point, [POINTS.indexOf(point) + 1]);
  }

  disarm(): void {
    this.#write(AT.point, [0]);
    this.#write(AT.fired, [0]);
    this.#write(AT.counts, [0, 0, 0, 0, 0, 0]);
  }

  /** Whether it was this that ended the process. */
  get fired(): boolean {
    return this.#read(AT.fired, 4).readUInt32LE() === 1;
  }

  /** Points passed since arming. */
  get counts(): Readonly<Record<Point, number>> {
    const counts = this.#read(AT.counts, 24);
    const of = (point: Point): number => counts.readUInt32LE(4 * (POINTS.indexOf(point) + 1));
    return { write: of('write'), sync: of('sync'), reply: of('reply'), query: of('query'), upstream: of('upstream') };
  }

  /** @param room octets by which files may still grow before the disk is full (ENOSPC); undefined: without limit */
  limitDisk(room: number | undefined): void {
    const octets = Buffer.alloc(8);
    octets.writeBigInt64LE(BigInt(room ?? 0));
    writeSync(this.#page, octets, 0, 8, AT.room);
    this.#write(AT.limited, [room === undefined ? 0 : 1]);
  }

  remove(): void {
    closeSync(this.#page);
    this.#folder.remove();
  }

  #write(at: number, words: readonly number[]): void {
    const octets = Buffer.alloc(4 * words.length);
    for (const [index, word] of words.entries()) octets.writeUInt32LE(word, 4 * index);
    writeSync(this.#page, octets, 0, octets.length, at);
  }

  #read(at: number, length: number): Buffer {
    const octets = Buffer.alloc(length);
    readSync(this.#page, octets, 0, length, at);
    return octets;
  }
}

let compiled: string | undefined;

/** The library, compiled once for this test process. */
function library(): string {
  if (compiled !== undefined) return compiled;
  const folder = privateFolder();
  process.once('exit', folder.remove);
  compiled = join(folder.path, 'sudden-death.so');
  const source = join(import.meta.dirname, 'sudden-death.c');
  execFileSync('gcc', ['-shared', '-fPIC', '-O2', '-Wall', '-Werror', '-pthread', '-o', compiled, source], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return compiled;
}
