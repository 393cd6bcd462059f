import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { nullLog } from '../base/log.ts';
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

test('A40: a database that moved, by a restore for example, is still known to have a signed audit log', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-mark-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = readConfig(homeOf({ HOME: folder }, folder), {});
  await ensureKey(config);
  const first = await openInstance({ config });
  await first.audit.record({ type: 'server.started', outcome: 'ok' });
  await first.close();
  await open(config);
  const moved = join(folder, 'moved.db');
  renameSync(config.home.database, moved);
  const instance = await openInstance({ config: { ...config, database: new Secret(`sqlite:${moved}`) } });
  assert.equal(instance.auditKey.signed, true);
  await instance.close();
  // Where nothing remembers it, that is said.
  rmSync(join(config.home.state, 'installation.json'));
  const file = new DatabaseSync(moved);
  const head = JSON.parse(
    (file.prepare("SELECT value FROM settings WHERE name = 'audit.head'").get() as { value: string }).value,
  ) as { mac?: string };
  delete head.mac;
  file.prepare("UPDATE settings SET value = ? WHERE name = 'audit.head'").run(JSON.stringify(head));
  file.close();
  const said: string[] = [];
  const log = { ...nullLog, warn: (_facts: object, text: string) => void said.push(text) };
  await (await openInstance({ config: { ...config, database: new Secret(`sqlite:${moved}`) }, log })).close();
  assert.match(said.join('\n'), /the audit log is not signed/);
});
