/** `npm run build`: compiles src/ to dist/, which is what is published. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, stop } from 'esbuild-wasm';
import { z } from 'zod';

/**
 * Packages of many small files, which each start would find, read and link one by one. A copy of each in one file goes where Node
 * looks for packages first (docs/decisions/015-one-file.md). Only such as no other package uses: theirs would be another copy.
 */
const IN_ONE_FILE = ['kysely', 'yaml'];

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
for (const name of IN_ONE_FILE) await inOneFile(name);
await stop();
run([entry, '--version']);

async function inOneFile(name: string): Promise<void> {
  const from = join(root, 'node_modules', name);
  const to = join(dist, 'node_modules', name);
  const subpath = new RegExp(`['"]${name}/`);
  for (const file of globSync('**/*.js', { cwd: dist }))
    if (subpath.test(readFileSync(join(dist, file), 'utf8')))
      fail(`${file} imports a part of ${name} that the copy does not have`);
  mkdirSync(to, { recursive: true });
  const names = Object.keys((await import(name)) as object).filter(
    (each) => each !== 'default' && each !== 'module.exports',
  );
  await build({
    stdin: { contents: `export { ${names.join(', ')} } from '${name}';`, resolveDir: root },
    outfile: join(to, 'index.js'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // What was CommonJS asks for Node's own modules with require.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'warning',
  });
  const { version, license } = z
    .object({ version: z.string(), license: z.string() })
    .parse(JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')));
  writeFileSync(
    join(to, 'package.json'),
    `${JSON.stringify({ name, version, license, type: 'module', exports: './index.js' }, undefined, 2)}\n`,
  );
  copyFileSync(join(from, 'LICENSE'), join(to, 'LICENSE'));
  const copied = Object.keys((await import(join(to, 'index.js'))) as object);
  if (names.some((each) => !copied.includes(each))) fail(`the copy of ${name} lacks something`);
}

function run(args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail(`node ${args.join(' ')} ended with ${String(status)}`);
}

function fail(why: string): never {
  process.stderr.write(`build: ${why}\n`);
  process.exit(1);
}
