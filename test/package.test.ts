/** What people install: exact versions, nothing that runs or compiles on installation, licences we may pass on, exports that exist. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '..');
const read = (file: string): unknown => JSON.parse(readFileSync(join(root, file), 'utf8'));

interface Locked {
  readonly version: string;
  readonly resolved?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
}
interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly version: string;
}

const manifest = read('package.json') as Manifest;
const packages = Object.entries((read('package-lock.json') as { packages: Record<string, Locked> }).packages).filter(
  ([path]) => path !== '',
);
const runtime = packages.filter(([, locked]) => locked.dev !== true);

/** Licences that may go into an Apache-2.0 product without further duties than a notice. */
const LICENCES = new Set([
  'MIT',
  'MIT-0',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
]);

test('the lockfile was read', () => {
  assert.ok(runtime.length > 20 && packages.length > runtime.length);
});

test('versions are pinned exactly', () => {
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  const loose = Object.entries(all).filter(([, range]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(range));
  assert.deepEqual(loose, []);
});

test('nothing runs on installation', () => {
  const scripts = packages.filter(([, locked]) => locked.hasInstallScript === true).map(([path]) => path);
  // esbuild-like platform packages of development tools may be optional, but none may need a script either.
  assert.deepEqual(scripts, []);
});

test('nothing that is shipped is compiled or native', () => {
  const native = runtime.flatMap(([path]) =>
    existsSync(join(root, path))
      ? globSync(['binding.gyp', '**/*.node'], { cwd: join(root, path) }).map((file) => join(path, file))
      : [],
  );
  assert.deepEqual(native, []);
});

test('licences of what is shipped are permissive', () => {
  const other = runtime
    .filter(([, { license }]) => !permissive(license))
    .map(([path, { license }]) => `${path}: ${license ?? 'none'}`);
  assert.deepEqual(other, []);
});

test('the lockfile names no registry', () => {
  assert.deepEqual(
    packages.filter(([, locked]) => locked.resolved !== undefined).map(([path]) => path),
    [],
  );
});

const sourceOf = (target: string): string => target.replace('./dist/', 'src/').replace(/\.d\.ts$|\.js$/, '.ts');

test('every export and command has its source', () => {
  const targets = [
    ...Object.values(manifest.exports).flatMap((entry) => Object.values(entry)),
    ...Object.values(manifest.bin),
  ];
  assert.deepEqual(
    targets.filter((target) => !existsSync(join(root, sourceOf(target)))),
    [],
  );
});

test('the examples are checked against the sources of what is exported', () => {
  const { paths } = (read('tsconfig.json') as { compilerOptions: { paths: Record<string, readonly string[]> } })
    .compilerOptions;
  const exported = Object.entries(manifest.exports).map(([name, { types = '' }]) => [
    name.replace('.', 'postern'),
    [`./${sourceOf(types)}`],
  ]);
  assert.deepEqual(paths, Object.fromEntries(exported));
});

test('what package.json promises to ship is there', () => {
  assert.deepEqual(
    manifest.files.filter((file) => file !== 'dist' && !existsSync(join(root, file))),
    [],
  );
});

/** An SPDX expression: every part joined by AND, or any part joined by OR, must be in the list. */
function permissive(expression = ''): boolean {
  const plain = expression.replace(/^\(|\)$/g, '');
  if (plain.includes(' OR ')) return plain.split(' OR ').some((part) => permissive(part));
  return plain.split(' AND ').every((part) => LICENCES.has(part));
}
