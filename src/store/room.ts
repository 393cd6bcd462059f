/** Room on the disk of a SQLite file: what is left there for finishing what was begun is not used for taking more in. */
import { statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

const MIB = 1 << 20;
/** SQLite's page, and pages of its log before they are copied into the file: 16 MB instead of 4, see sqlite.ts. */
const PAGE = 4096;
const LOG_PAGES = 4000;
const LEAST_LOG_PAGES = 250;
/** On a small disk the log stays small, so that it cannot fill what it is there to protect. */
const LOG_PART = 64;
/** Claiming, settling and deleting write to the log first, and then to the file. */
const LOGS = 2;
/** What the stories of messages that wait will still need: their events take a small part of what the messages take. */
const FILE_PART = 32;
const MAX_FOR_FILE = 1024 * MIB;
/** Taken in by way of the log, octets need their room twice for a moment. */
const WRITTEN_TIMES = 2;

/** Pages of the log after which SQLite copies it into the file. */
export function logPages(path: string): number {
  const { bsize, blocks } = statfsSync(dirname(path));
  return Math.min(LOG_PAGES, Math.max(LEAST_LOG_PAGES, Math.floor((bsize * blocks) / LOG_PART / PAGE)));
}

export interface Room {
  /** Octets that are free on the disk. */
  readonly free: number;
  /** With less nothing is taken in. */
  readonly reserve: number;
}

/** @throws the system's error when the file is not there */
export function roomOf(path: string): Room {
  const { bavail, bsize } = statfsSync(dirname(path));
  const log = logPages(path) * PAGE;
  const forFile = Math.min(statSync(path).size / FILE_PART, MAX_FOR_FILE);
  return { free: bavail * bsize, reserve: Math.ceil(LOGS * log + forFile) };
}

/** Whether so many octets can be taken in and the reserve is left. */
export function fits({ free, reserve }: Room, octets: number): boolean {
  return free - WRITTEN_TIMES * octets >= reserve;
}

/** In words, for whoever asks why nothing is taken in. */
export function shortText({ free, reserve }: Room): string {
  const kib = (octets: number): string => `${Math.floor(octets / 1024)} KiB`;
  return `${kib(free)} are free and ${kib(reserve)} are kept for delivering what was accepted`;
}
