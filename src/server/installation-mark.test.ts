import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { type Config, readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { ensureKey, openInstance } from './instance.ts';

const open = async (config: Config): Promise<void> => (await openInstance({ config })).close();
const missing = (words: RegExp) => (error: unknown) =>
  isError(error, 'server.database-missing') && words.test(`${error.message}; ${error.hint}`);

test('L22: a database that is missing, elsewhere, empty or another one is told, and none is made', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-mark-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = readConfig(homeOf({ HOME: folder }, folder), {});
  const { database } = config.home;
  await ensureKey(config);
  await open(config);
  await open(config);

  const moved = join(folder, 'moved.db');
  renameSync(database, moved);
  await assert.rejects(open(config), missing(/is missing; put the file back, or restore the last backup/));
  await assert.rejects(open(config), missing(/is missing/), 'the first try has made none');

  const at = (path: string): Config => ({ ...config, database: new Secret(`sqlite:${path}`) });
  await open(at(moved));
  await assert.rejects(
    open(config),
    missing(/has its data in .*moved\.db; .*mv .*moved\.db/),
    'where it went is remembered',
  );

  const { openStore } = await import('../store/open.ts');
  await (await openStore(`sqlite:${join(folder, 'empty.db')}`)).close();
  await assert.rejects(open(at(join(folder, 'empty.db'))), missing(/empty, although/));
  const other = await openStore(`sqlite:${join(folder, 'other.db')}`);
  await other.settings.set('installation', 'of somebody else');
  await other.close();
  await assert.rejects(open(at(join(folder, 'other.db'))), missing(/another installation/));

  renameSync(moved, database);
  await open(config);
});
