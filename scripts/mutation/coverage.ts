/** Which test file runs which part of the sources, measured once for each test file and kept in `.cache`. */
import { hash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, runTestFile } from './test-file.ts';

interface Covered {
  /** Of the source when it was measured. */
  readonly hash: string;
  /** What ran: starts and ends in turn. */
  readonly ranges: readonly number[];
}

export interface TestFile {
  readonly hash: string;
  readonly passed: boolean;
  readonly ms: number;
  readonly sources: Readonly<Record<string, Covered>>;
}

const FOLDER = join(root, '.cache/mutate');
const FILE = join(FOLDER, 'coverage.json');
/** Milliseconds: what takes longer cannot be run for each mutant. */
const LIMIT_MS = 60_000;

export const hashOf = (file: string): string => hash('sha256', readFileSync(join(root, file)));

/**
 * Measures what is new or changed. Sources that changed since count as run wherever they were loaded.
 * @param fresh measure all of them again
 */
export async function coverage(
  files: readonly string[],
  fresh: boolean,
  say: (line: string) => void,
): Promise<ReadonlyMap<string, TestFile>> {
  mkdirSync(FOLDER, { recursive: true });
  const known: Record<string, TestFile> = existsSync(FILE)
    ? (JSON.parse(readFileSync(FILE, 'utf8')) as Record<string, TestFile>)
    : {};
  for (const [at, file] of files.entries()) {
    const now = hashOf(file);
    if (!fresh && known[file]?.hash === now) continue;
    const measured = await measure(file, now);
    known[file] = measured;
    const seconds = (measured.ms / 1000).toFixed(1);
    say(
      `${at + 1}/${files.length} ${file}: ${measured.passed ? '' : 'does not pass, or not soon enough, and is left out; '}${seconds} s`,
    );
    writeFileSync(FILE, JSON.stringify(known));
  }
  return new Map(files.flatMap((file) => (known[file]?.passed ? [[file, known[file]] as const] : [])));
}

/** Whether a test file runs the place in a source. */
export function runs(test: TestFile, source: string, sourceHash: string, at: number): boolean {
  const covered = test.sources[source];
  if (!covered) return false;
  if (covered.hash !== sourceHash) return true;
  const next = covered.ranges.findIndex((edge) => edge > at);
  return next % 2 === 1;
}

async function measure(file: string, fileHash: string): Promise<TestFile> {
  const folder = mkdtempSync(join(FOLDER, 'v8-'));
  try {
    const { ms, outcome } = await runTestFile(file, { NODE_V8_COVERAGE: folder }, LIMIT_MS);
    const bits = new Map<string, Uint8Array>();
    for (const name of readdirSync(folder)) read(join(folder, name), bits);
    const sources: Record<string, Covered> = {};
    for (const [source, ran] of bits) sources[source] = { hash: hashOf(source), ranges: rangesOf(ran) };
    return { hash: fileHash, passed: outcome === 'passed', ms, sources };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Script {
  readonly url: string;
  readonly functions: readonly {
    readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
  }[];
}

/** Adds what a process or thread ran. Ranges within a function come from the outside in. */
function read(path: string, into: Map<string, Uint8Array>): void {
  const { result } = JSON.parse(readFileSync(path, 'utf8')) as { readonly result: readonly Script[] };
  const base = `${pathToFileURL(root).href}/src/`;
  for (const { functions, url } of result) {
    if (!url.startsWith(base) || /\.(?:test|fuzz)\.ts$/.test(url)) continue;
    const source = relative(root, new URL(url).pathname);
    const ran = new Uint8Array(readFileSync(join(root, source), 'utf8').length);
    const ranges = functions.flatMap((one) => one.ranges);
    const outsideIn = ranges.toSorted((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
    for (const { count, endOffset, startOffset } of outsideIn) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    const before = into.get(source);
    if (before) for (const [at, bit] of ran.entries()) before[at] = before[at]! | bit;
    else into.set(source, ran);
  }
}

function rangesOf(ran: Uint8Array): number[] {
  const edges: number[] = [];
  for (let at = 0; at <= ran.length; at++) if ((ran[at] ?? 0) !== (ran[at - 1] ?? 0)) edges.push(at);
  return edges;
}

/** Test files, without those that start the whole program or other servers. */
export function testFiles(patterns: readonly string[]): readonly string[] {
  return patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).toSorted();
}
