/**
 * `npm run mutate`: changes the product in small ways, one at a time, and sees whether a test notices. What none notices is
 * equivalent, needs a test, or need not be there: docs/testing.md.
 *
 *   npm run mutate                         five mutants of each source file of the rooms below
 *   npm run mutate -- --room outbox        one room; may be given again
 *   npm run mutate -- --file src/a.ts      one file; may be given again
 *   npm run mutate -- --sample 20 --seed 2 others, and as many
 *   npm run mutate -- --all                all of them: hours
 *   npm run mutate -- --named              those of test/mutants.ts, which must die
 *   npm run mutate -- --resume             what is known of unchanged sources and tests is not tried again
 *   npm run mutate -- --fresh              measures again which test runs what
 *   npm run mutate -- --list               says what would be tried
 *
 * One process at a time, at the lowest priority. The source tree is not touched: a loader puts the mutant in the file's place.
 */
import { hash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type NamedMutant, NAMED } from '../test/mutants.ts';
import { coverage, hashOf, runs, type TestFile, testFiles } from './mutation/coverage.ts';
import { MUTANT } from './mutation/load.ts';
import { identity, type Mutant, mutantsOf, mutated } from './mutation/mutants.ts';
import { root, type Run, runTestFile } from './mutation/test-file.ts';

/** Where a wrong sign loses mail, lets somebody in, or hides what happened. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  access: ['src/access/**/*.ts'],
  vault: ['src/vault/**/*.ts'],
  'audit chain': ['src/store/{chain,audit-head}.ts', 'src/store/table/audit.ts', 'src/audit/*.ts'],
  renewal: [
    'src/oauth/{renewal*,token-source,grant-tokens,lane,circuit,schedule,suspension,access-token}.ts',
    'src/store/table/leases.ts',
  ],
  gateway: ['src/gateway/{relay,reuse,keeping,holding,release,session,signing-in}.ts', 'src/gateway/continuity/*.ts'],
  outbox: ['src/outbox/**/*.ts'],
};
/** Tests, and what holds words and shapes only. */
const NOT_SOURCES = /(?:\.(?:test|fuzz)|\/errors|\/(?:[a-z]+-)?types)\.ts$/;
const TESTS = [
  'src/{access,vault,store,audit,oauth,upstream,gateway,outbox,admin,server}/**/*.test.ts',
  'test/{oauth,golden,api,onboard}/*.test.ts',
  // Those that need nothing but the sandbox, in this process.
  'test/interop/{delivery,graph-route,proof,returns}.test.ts',
];
const SAMPLE = 5;
/** So much slower than when it was measured (with coverage, which is slow by itself) no machine is: it hangs. */
const limitOf = (ms: number): number => 15_000 + 2 * ms;
/** Milliseconds of tests, as measured, that a mutant is worth: with those beside it, of its room, and from elsewhere. */
const WORTH_MS = [60_000, 30_000, 15_000] as const;

const FOLDER = join(root, '.cache/mutate');
const RESULTS = join(FOLDER, 'results.json');

interface Trial {
  readonly room: string;
  readonly file: string;
  readonly name: string | undefined;
  readonly mutant: Mutant;
}
interface Result {
  readonly outcome: 'killed' | 'timed-out' | 'survived';
  /** The test that noticed, or what a survivor survived. */
  readonly by: string;
  /** Of the tests that were run. */
  readonly tests: string;
}

const say = (line: string): void => void process.stderr.write(`mutate: ${line}\n`);
const { values: options } = parseArgs({
  options: {
    room: { type: 'string', multiple: true },
    file: { type: 'string', multiple: true },
    sample: { type: 'string', default: String(SAMPLE) },
    seed: { type: 'string', default: '1' },
    all: { type: 'boolean', default: false },
    named: { type: 'boolean', default: false },
    resume: { type: 'boolean', default: false },
    fresh: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});
setPriority(19);
const trials = options.named ? namedTrials() : sampledTrials();
if (options.list) for (const { file, mutant, name } of trials) say(`${file}:${mutant.line}: ${name ?? mutant.says}`);
else process.exitCode = await tryAll(trials);

function sampledTrials(): readonly Trial[] {
  const unknown = options.room?.filter((room) => !(room in ROOMS)) ?? [];
  if (unknown.length > 0) {
    say(`no room ${unknown.join(', ')}: there are ${Object.keys(ROOMS).join(', ')}`);
    process.exit(64);
  }
  const asked = options.file === undefined ? undefined : new Set(options.file);
  return Object.entries(ROOMS).flatMap(([room, patterns]) => {
    if (options.room && !options.room.includes(room)) return [];
    const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).toSorted();
    return files
      .filter((file) => !NOT_SOURCES.test(file) && (asked?.has(file) ?? true))
      .flatMap((file) => sampleOf(file).map((mutant) => ({ room, file, name: undefined, mutant })));
  });
}

/** The same for the same seed, also when the rest of the file changes. */
function sampleOf(file: string): readonly Mutant[] {
  const source = readFileSync(join(root, file), 'utf8');
  const mutants = mutantsOf(source);
  if (options.all) return mutants;
  const rank = (mutant: Mutant): string => hash('sha256', `${options.seed}\n${file}\n${identity(source, mutant)}`);
  return mutants
    .map((mutant) => ({ mutant, at: rank(mutant) }))
    .toSorted((a, b) => (a.at < b.at ? -1 : 1))
    .slice(0, Number(options.sample))
    .map(({ mutant }) => mutant)
    .toSorted((a, b) => a.start - b.start);
}

function namedTrials(): readonly Trial[] {
  return NAMED.map((named: NamedMutant) => {
    const start = readFileSync(join(root, named.file), 'utf8').indexOf(named.was);
    const line = readFileSync(join(root, named.file), 'utf8').slice(0, start).split('\n').length;
    const mutant = { start, end: start + named.was.length, replacement: named.becomes, line, says: named.name };
    return { room: 'named', file: named.file, name: named.name, mutant };
  });
}

async function tryAll(list: readonly Trial[]): Promise<number> {
  const files = testFiles(TESTS);
  const tests = await coverage(files, options.fresh, say);
  mkdirSync(FOLDER, { recursive: true });
  const known: Record<string, Result> = existsSync(RESULTS)
    ? (JSON.parse(readFileSync(RESULTS, 'utf8')) as Record<string, Result>)
    : {};
  const results = new Map<Trial, Result>();
  for (const [at, trial] of list.entries()) {
    const source = readFileSync(join(root, trial.file), 'utf8');
    const covering = coveringTests(tests, trial, source);
    const hashes = hash('sha256', covering.map(([file]) => `${file} ${hashOf(file)}`).join('\n'));
    const key = hash('sha256', `${trial.file}\n${mutated(source, trial.mutant)}`);
    const before = options.resume ? known[key] : undefined;
    const stands = before && (before.outcome !== 'survived' || before.tests === hashes);
    const result = stands ? before : { ...(await tryOne(trial, source, covering)), tests: hashes };
    results.set(trial, result);
    known[key] = result;
    writeFileSync(RESULTS, JSON.stringify(known));
    if (!stands)
      say(`${at + 1}/${list.length} ${trial.file}:${trial.mutant.line} ${result.outcome}: ${trial.mutant.says}`);
  }
  return report(results);
}

/** Those beside the source first, then those of its room, the fastest first. */
function coveringTests(
  tests: ReadonlyMap<string, TestFile>,
  { file, mutant }: Trial,
  source: string,
): readonly (readonly [string, TestFile])[] {
  const sourceHash = hash('sha256', source);
  const [, room] = file.split('/');
  const distance = (test: string): 0 | 1 | 2 =>
    dirname(test) === dirname(file) ? 0 : /^(?:src|test)\/(\w+)\//.exec(test)?.[1] === room ? 1 : 2;
  const worth = [0, 0, 0];
  return [...tests]
    .filter(([, test]) => runs(test, file, sourceHash, mutant.start))
    .toSorted(([a, one], [b, other]) => distance(a) - distance(b) || one.ms - other.ms)
    .filter(([test, { ms }], at) => {
      const where = distance(test);
      worth[where]! += ms;
      return worth[where]! <= WORTH_MS[where] || at === 0;
    });
}

async function tryOne(
  { file, mutant }: Trial,
  source: string,
  covering: readonly (readonly [string, TestFile])[],
): Promise<Omit<Result, 'tests'>> {
  if (covering.length === 0) return { outcome: 'survived', by: 'no test runs it' };
  const from = join(FOLDER, `mutant-${process.pid}.ts`);
  writeFileSync(from, mutated(source, mutant));
  const given = JSON.stringify({ url: pathToFileURL(join(root, file)).href, from });
  const env = { [MUTANT]: given, NODE_OPTIONS: `--import=${import.meta.resolve('./mutation/load.ts')}` };
  try {
    for (const [test, { ms }] of covering) {
      let run = await runTestFile(test, env, limitOf(ms));
      // A busy machine fails tests, too: what took long is believed the second time.
      if (run.outcome === 'failed' && run.ms > 2 * ms + 3_000) run = await runTestFile(test, env, limitOf(ms));
      if (run.outcome !== 'passed') return { outcome: outcomeOf(run), by: `${test}: ${run.test ?? run.outcome}` };
    }
    return { outcome: 'survived', by: covering.map(([test]) => test).join(', ') };
  } finally {
    rmSync(from, { force: true });
  }
}

function outcomeOf(run: Run): Result['outcome'] {
  return run.outcome === 'timed-out' ? 'timed-out' : 'killed';
}

/** @returns the exit code: 1 where a named mutant lives */
function report(results: ReadonlyMap<Trial, Result>): number {
  const rooms = Map.groupBy(results, ([{ room }]) => room);
  const lines: string[] = [];
  for (const [room, tried] of rooms) {
    const count = (outcome: Result['outcome']): number => tried.filter(([, one]) => one.outcome === outcome).length;
    const survived = count('survived');
    const score = (100 * (tried.length - survived)) / tried.length;
    const facts = `${count('killed')} killed, ${count('timed-out')} timed out, ${survived} survived`;
    lines.push(`${room}: ${score.toFixed(0)} % of ${tried.length} (${facts})`);
    for (const [{ file, mutant }, { by, outcome }] of tried)
      if (outcome === 'survived') lines.push(`  ${file}:${mutant.line}: ${mutant.says} [${by}]`);
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  return options.named && [...results.values()].some(({ outcome }) => outcome === 'survived') ? 1 : 0;
}
