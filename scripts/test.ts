/**
 * `npm test`: installs the servers the tests need, checks the sources, runs every test.
 *
 *   npm test                     everything, under ten minutes on two cores
 *   npm test -- src/oauth a.ts   only the tests in these folders or files
 *   npm run soak                 the long sweeps: fuzz, kill, soak
 */
import { existsSync, globSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec as Spec } from 'node:test/reporters';
import { check } from './check.ts';
import { installCommand, installTestbed } from './install-testbed.ts';

const root = resolve(import.meta.dirname, '..');
const TESTS = ['src/**/*.test.ts', 'test/**/*.test.ts'];
const SWEEPS = ['src/**/*.fuzz.ts', 'test/soak/**/*.test.ts'];
/** What takes more than ten seconds, longest first; some of them wait, others compute, and so they alternate. */
const LONG = [
  'test/stories/outbox-killed',
  'test/stories/ten-expiries',
  'test/interop/dovecot-jwt',
  'test/stories/faults',
  'test/interop/dovecot-introspection',
  'test/secrets',
  'test/stories/quarter',
  'test/stories/kill-refresh',
  'test/interop/sandbox.',
  'test/interop/delivery',
  'test/packed',
  'test/stories/renewal-killed',
  'test/oauth/renewal',
  'test/stories/postgres',
  'src/onboard/register/',
  'src/store/processes',
  'test/interop/client-config',
  'test/interop/outbox',
  'test/stories/',
  'test/interop/',
  'src/server/notice/',
  'test/cli/',
];
/** One more than the cores that CI has: many tests wait for other programs. */
const CONCURRENCY = 3;
/**
 * Files with a failure that are run once more, alone: tests that drive real programs may starve beside others on a small machine.
 * What passes then is named at the end as such, for a person to look at; more failures than these are no coincidence.
 */
const MAX_AGAIN = 3;
/** Milliseconds one test may take. */
const TEST_LIMIT = 240_000;
const SWEEP_LIMIT = 6 * 3_600_000;

/** Each test file, and each program it starts, is a process of its own: what one has compiled the others need not. */
process.env['NODE_COMPILE_CACHE'] ??= join(root, '.cache/compiled');

const say = (line: string): void => void process.stderr.write(`test: ${line}\n`);
const args = process.argv.slice(2);
const soak = args.includes('--soak');
const only = args.filter((arg) => !arg.startsWith('--'));
const inCi = !['', '0', 'false', undefined].includes(process.env.CI);
const start = performance.now();

const files = only.length > 0 ? chosen(only) : find(soak ? SWEEPS : TESTS);
if (files.length === 0) {
  say(only.length > 0 ? `no tests in ${only.join(' ')}` : 'no tests found');
  process.exit(64);
}

const bed = installTestbed(say);
if (bed.missing.length > 0) {
  say(`missing: ${bed.missing.join(', ')} (${bed.reason})`);
  say(`install them with: ${installCommand(bed.missing)}`);
  if (inCi) process.exit(69);
  say('tests that need them are skipped, and say so');
}

const failed = only.length > 0 || soak ? [] : [...(await check(say))];
let wrong = await runTests(files, CONCURRENCY);
const crowded = soak || only.length > 0 || wrong.length > MAX_AGAIN ? [] : wrong;
if (crowded.length > 0) {
  say(`failed beside others, run again alone: ${crowded.join(', ')}`);
  wrong = await runTests(crowded, 1);
}
if (wrong.length > 0) failed.push(`tests in ${wrong.join(', ')}`);

const seconds = Math.round((performance.now() - start) / 1000);
if (failed.length > 0) say(`FAILED after ${seconds} s: ${failed.join(', ')}`);
else
  say(`passed: ${files.length} test files${only.length > 0 || soak ? '' : ' and all static checks'} in ${seconds} s`);
for (const file of crowded)
  if (!wrong.includes(file)) say(`UNSTEADY: ${file} failed beside other tests and passed alone`);
process.exitCode = failed.length > 0 ? 1 : 0;

function find(patterns: readonly string[]): string[] {
  return patterns
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .filter((file) => soak || !file.startsWith('test/soak/'))
    .toSorted((a, b) => weight(a) - weight(b) || (a < b ? -1 : 1));
}

/** Long files first, so that the last minute is not one file running alone. */
function weight(file: string): number {
  const long = LONG.findIndex((name) => file.startsWith(name));
  if (long >= 0) return long - LONG.length;
  return file.startsWith('test/') ? 0 : 1;
}

function chosen(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    const full = resolve(process.cwd(), path);
    const inside = relative(root, full);
    if (!existsSync(full)) return globSync(path, { cwd: root });
    if (statSync(full).isFile()) return [inside];
    return globSync(['**/*.test.ts', ...(soak ? ['**/*.fuzz.ts'] : [])], { cwd: full }).map((file) =>
      join(inside, file),
    );
  });
}

/**
 * By Node's runner as a function: its command line takes files in the order of their names, whatever it is given.
 *
 * @returns the files in which something failed
 */
async function runTests(list: readonly string[], concurrency: number): Promise<string[]> {
  if (soak) process.env['POSTERN_SOAK'] = '1';
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  const events = run({
    files: list.map((file) => resolve(root, file)),
    cwd: root,
    concurrency,
    timeout: soak ? SWEEP_LIMIT : TEST_LIMIT,
    execArgv: [
      '--disable-warning=ExperimentalWarning',
      ...(soak ? [] : ['--import', import.meta.resolve('./file-limit.ts')]),
    ],
    signal: stopping.signal,
  });
  const passed = new Map<string, boolean>();
  let all = false;
  events.on('test:summary', ({ file, success }) => {
    // The one without a file is of all.
    if (file === undefined) all = success;
    else passed.set(relative(root, file), success);
  });
  await pipeline(events, new Spec(), process.stdout, { end: false });
  if (all) return [];
  // A run that was stopped, or a file that ended before its summary, has not passed.
  return list.filter((file) => passed.get(file) !== true);
}
