/** `npm run build`: compiles src/ to dist/, which is what is published. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, globSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const dist = join(root, 'dist');
const entry = join(dist, 'cli', 'main.js');

// What was deleted from src/ must not be published.
rmSync(dist, { recursive: true, force: true });
run([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
// Data that the code reads at run time.
for (const file of globSync('**/data/*.json', { cwd: join(root, 'src') }))
  cpSync(join(root, 'src', file), join(dist, file));
if (!readFileSync(entry, 'utf8').startsWith('#!/usr/bin/env node\n')) fail('dist/cli/main.js has lost its first line');
chmodSync(entry, 0o755);
run([entry, '--version']);

function run(args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail(`node ${args.join(' ')} ended with ${String(status)}`);
}

function fail(why: string): never {
  process.stderr.write(`build: ${why}\n`);
  process.exit(1);
}
