/** `npm run check`: everything that can be said about the code without running it. Also the first part of `npm test`. */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import process from 'node:process';

const root = resolve(import.meta.dirname, '..');

interface Step {
  readonly name: string;
  /** What to do when it fails. */
  readonly next: string;
  readonly program: string;
  readonly args: readonly string[];
}

const bin = (name: string): string => join(root, 'node_modules', '.bin', name);

const STEPS: readonly Step[] = [
  { name: 'types', next: 'npx tsc -p .', program: bin('tsc'), args: ['-p', '.'] },
  { name: 'lint', next: 'npx oxlint --type-aware', program: bin('oxlint'), args: ['--type-aware', '--deny-warnings'] },
  { name: 'format', next: 'npx oxfmt .', program: bin('oxfmt'), args: ['--check', '.'] },
  { name: 'unused code', next: 'npx knip', program: bin('knip'), args: ['--no-progress'] },
];

/** Tests that read the sources and documents instead of running them. */
const SOURCE_TESTS = ['test/layers.test.ts', 'test/package.test.ts', 'test/docs.test.ts', 'test/rfcs.test.ts'];

/** Runs the static checks, two at a time (the machine has two cores). Gives the names of those that failed. */
export async function check(say: (line: string) => void): Promise<readonly string[]> {
  const failed: string[] = [];
  const queue = [...STEPS];
  const worker = async (): Promise<void> => {
    for (let step = queue.shift(); step; step = queue.shift()) {
      const start = performance.now();
      const { code, output } = await run(step.program, step.args);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      if (code === 0) {
        say(`${step.name}: clean (${seconds} s)`);
        continue;
      }
      failed.push(step.name);
      say(`${step.name}: failed (${seconds} s); again by itself: ${step.next}\n${output.trim()}`);
    }
  };
  await Promise.all([worker(), worker()]);
  return failed;
}

function run(program: string, args: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const collect = (piece: Buffer): void => void (output += piece.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', fail);
    child.on('close', (code) => done({ code: code ?? 1, output }));
  });
}

if (process.argv[1] === import.meta.filename) {
  const say = (line: string): void => void process.stderr.write(`check: ${line}\n`);
  const failed = [...(await check(say))];
  const { code, output } = await run(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    '--test',
    ...SOURCE_TESTS,
  ]);
  if (code === 0) say('layers, package and documents: clean');
  else {
    failed.push('layers, package and documents');
    say(`layers, package and documents: failed\n${output.trim()}`);
  }
  if (failed.length > 0) say(`failed: ${failed.join(', ')}`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}
