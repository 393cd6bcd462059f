/** Who may import whom: the table in ARCHITECTURE.md, held against every import of src/. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '..');
const src = join(root, 'src');

function roomsOfTable(): Map<string, Set<string>> {
  const table = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('## Rooms')[1]!.split('\n## ')[0]!;
  const rows = [...table.matchAll(/^\| (\w+) \| ([^|]+) \|/gm)].filter((row) => row[1] !== 'room');
  return new Map(rows.map((row) => [row[1]!, new Set(row[2]!.match(/\w+/g) ?? [])]));
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => resolve(dirname(file), match[1]!));
}

const roomOf = (file: string): string => relative(src, file).split('/')[0]!;

test('rooms import only what ARCHITECTURE.md allows', () => {
  const rooms = roomsOfTable();
  const files = globSync('**/*.ts', { cwd: src }).map((file) => join(src, file));
  assert.ok(rooms.size >= 11 && files.length > 20, 'the table and the sources were found');
  const wrong: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    const allowed = rooms.get(room);
    if (!allowed) {
      wrong.push(`${relative(root, file)}: no room called ${room}`);
      continue;
    }
    // A unit test may use what it likes to set the scene.
    if (file.endsWith('.test.ts') || file.endsWith('.fuzz.ts')) continue;
    for (const target of importsOf(file)) {
      const other = roomOf(target);
      if (other === '..') wrong.push(`${relative(root, file)} -> ${relative(root, target)}: outside src`);
      else if (other !== room && !allowed.has(other)) wrong.push(`${relative(root, file)} -> ${other}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('no circle of files, types included', () => {
  const files = globSync('**/*.ts', { cwd: src })
    .filter((file) => !/\.(?:test|fuzz)\.ts$/.test(file))
    .map((file) => join(src, file));
  const known = new Set(files);
  // What no file imports that is left is not in a circle, and neither is what then remains without importers.
  const left = new Map(files.map((file) => [file, new Set(importsOf(file).filter((target) => known.has(target)))]));
  for (let before = -1; before !== left.size;) {
    before = left.size;
    const imported = new Set([...left.values()].flatMap((targets) => [...targets]));
    for (const file of left.keys()) if (!imported.has(file)) left.delete(file);
  }
  // The same from the other end leaves the circles themselves.
  for (let before = -1; before !== left.size;) {
    before = left.size;
    for (const [file, targets] of left) if (![...targets].some((target) => left.has(target))) left.delete(file);
  }
  assert.deepEqual(
    [...left.keys()].map((file) => relative(src, file)),
    [],
  );
});

test('no command and no server waits for libraries that only some of its work needs', () => {
  const late = [
    'undici',
    '@azure/msal-node',
    'openid-client',
    'jose',
    'pg',
    'hono',
    '@hono/zod-openapi',
    'node:http', // `src/server/plain-http.ts` says why
  ];
  const found: string[] = [];
  const seen = new Set<string>();
  const visit = (file: string, way: readonly string[]): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(file, 'utf8');
    // `import { type A }` alone leaves an import behind in this project's settings; `import type` does not.
    for (const [, clause, name] of text.matchAll(/^(?:import|export)\b(?! type )([^']*?)'([^']+)';$/gm)) {
      if (clause === undefined || name === undefined || clause.includes(';')) continue;
      if (name.startsWith('.')) visit(resolve(dirname(file), name), [...way, relative(src, file)]);
      else if (late.includes(name)) found.push(`${[...way, relative(src, file)].join(' -> ')} -> ${name}`);
    }
  };
  for (const file of ['cli/run.ts', 'server/serve.ts', 'store/sqlite-writer.ts']) visit(join(src, file), []);
  assert.ok(seen.size > 100, `${seen.size} files are loaded from the start`);
  assert.deepEqual(found, []);
});

/** Who else writes what an administrator could, and why it is no act. */
const OWN_WRITES: Readonly<Record<string, string>> = {
  'server/parts.ts': 'the server says of itself that it started and stopped',
  'server/instance.ts': 'events of oauth become records: renewals, consents, circuits',
  'server/housekeeping.ts': 'old audit records go, and their going is on record',
  'server/notice/watch.ts': 'notices come and go with what they are about',
  'server/notice/delivery.ts': 'notices are delivered',
  'server/installation-mark.ts': 'the mark that tells this database from others',
  'cli/command/compact.ts': 'the file is written again without free space; nothing in it changes',
  'server/api/uploads.ts': 'a file that is handed over belongs to its key alone',
};

const WRITES =
  /\baudit\.record\(|\bstore\.(?:applications|grants|mailboxes|appPasswords|apiKeys|templates|suppressions|webhooks|notices|uploads|settings|space)\.(?:insert|update|remove|revoke|add|put|replay|set|setOnce|raise|resolve|settle|prune|compact|release|makeDue)\(|\b(?:outbox|box)\.(?:cancel|hold|retry|edit|holdMailbox|releaseMailbox)\(/;

test('no surface writes, checks or audits by itself what is an act', () => {
  const writing = globSync('{cli,server}/**/*.ts', { cwd: src })
    .filter((file) => !file.endsWith('.test.ts') && WRITES.test(readFileSync(join(src, file), 'utf8')))
    .toSorted();
  assert.deepEqual(writing, Object.keys(OWN_WRITES).toSorted());
});

test('flags of V8 belong to the process and are set where it starts', () => {
  const setting = globSync('**/*.ts', { cwd: src })
    .filter((file) => !/\.(test|fuzz)\.ts$/.test(file))
    .filter((file) => readFileSync(join(src, file), 'utf8').includes('setFlagsFromString'));
  assert.deepEqual(setting, ['server/heap.ts']);
});

test('files stay readable: at most 400 lines', () => {
  const long = globSync('**/*.ts', { cwd: src })
    .map((file) => [file, readFileSync(join(src, file), 'utf8').split('\n').length] as const)
    .filter(([, lines]) => lines > 400);
  assert.deepEqual(long, []);
});

test('no forbidden names: utils, helpers, common, manager, service', () => {
  const named = globSync('**/*', { cwd: src }).filter((file) =>
    /(^|\/)(utils?|helpers?|common|managers?|services?)(\.|\/|$)/.test(file),
  );
  assert.deepEqual(named, []);
});
