/** Somebody with the database, but without the key, writes into the audit log of a gateway that runs. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { hashOf } from '../../src/store/chain.ts';
import { eventually } from '../bed/eventually.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

let site: SandboxGateway;
let database: DatabaseSync;
before(async () => {
  site = await startSandboxGateway();
  database = new DatabaseSync(join(site.facts.home, 'postern.db'), { timeout: 10_000 });
});
after(async () => {
  database?.close();
  await site?.stop();
});

const ANY_CODE = { accept: Array.from({ length: 128 }, (_, code) => code) };
const key = ['apikey', 'add', '--allow', 'messages:read', '--mailbox', '*', '--label'];

async function readyz(): Promise<{ readonly status: number; readonly warnings: readonly string[] }> {
  const { host, port } = site.facts.console;
  const answer = await fetch(`http://${host}:${port}/readyz`);
  return { status: answer.status, warnings: ((await answer.json()) as { warnings: string[] }).warnings };
}

/** Leaves a note on the audit log. */
async function refusedByApi(): Promise<void> {
  const { host, port } = site.facts.console;
  const headers = { authorization: 'Bearer wrong-key' };
  assert.equal((await fetch(`http://${host}:${port}/v1/mailboxes`, { headers })).status, 401);
}

test('A53: acts are refused, and nothing of them is done, while the audit log cannot be written', async () => {
  database.exec(`CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'not now'); END`);
  const count = (): unknown => ({
    ...database
      .prepare('SELECT (SELECT count(*) FROM api_keys) AS keys, (SELECT count(*) FROM app_passwords) AS passwords')
      .get(),
    settings: database.prepare('SELECT group_concat(settings) AS s FROM mailboxes').get()?.['s'],
  });
  const there = count();
  for (const args of [
    [...key, 'unrecorded'],
    ['password', 'add', '--mailbox', 'alice@contoso.test', '--label', 'unrecorded'],
    ['mailbox', 'set', 'alice@contoso.test', '--outgoing', 'outbox'],
    ['mailbox', 'suspend', 'alice@contoso.test'],
  ]) {
    const { code, stderr } = await site.cli(args, ANY_CODE);
    assert.equal(code, 75, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, /nothing was changed.*audit log/, args.join(' '));
  }
  assert.deepEqual(count(), there);
  // What programs and strangers do goes on; the server says that it is not recorded.
  await refusedByApi();
  await eventually(
    async () => (await readyz()).warnings.some((line) => /audit log cannot be written.*not now/.test(line)),
    '/readyz tells it',
  );
  assert.equal((await readyz()).status, 200);
  database.exec('DROP TRIGGER no_audit');
  assert.equal((await site.cli([...key, 'recorded'])).code, 0);
});

test('A53: a forged record is told by verify, show, check and /readyz, and what happens after it is recorded', async () => {
  database.exec('BEGIN IMMEDIATE');
  const last = database.prepare('SELECT * FROM audit ORDER BY seq DESC LIMIT 1').get() as Record<
    string,
    string | number
  >;
  const forged = {
    seq: Number(last['seq']) + 1,
    at: Date.now(),
    type: 'message.relayed',
    outcome: 'ok' as const,
    sessionId: undefined,
    mailbox: 'alice@contoso.test',
    data: { to: ['rival@competitor.example'] },
    previous: String(last['hash']),
  };
  database
    .prepare('INSERT INTO audit VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?)')
    .run(
      forged.seq,
      forged.at,
      forged.type,
      forged.outcome,
      forged.mailbox,
      JSON.stringify(forged.data),
      forged.previous,
      hashOf(forged),
    );
  database.exec('COMMIT');
  const verified = async (): Promise<string> => {
    const { code, stderr } = await site.cli(['audit', 'verify'], ANY_CODE);
    assert.notEqual(code, 0);
    return stderr;
  };
  const text = new RegExp(`record ${forged.seq}: record ${forged.seq} was written by something that is not Postern`);
  assert.match(await verified(), text);
  assert.match(
    (await site.cli(['audit', 'show', '-n', '50'])).stdout.toString(),
    new RegExp(`^NOT-FROM-POSTERN ${forged.seq} `, 'm'),
  );
  assert.match(
    (await site.cli(['check', '--details'], ANY_CODE)).stdout.toString(),
    /audit log was changed by something/,
  );

  assert.equal((await site.cli([...key, 'after it'])).code, 0);
  const shown = (await site.cli(['audit', 'show', '-n', '50'])).stdout.toString();
  assert.match(shown, new RegExp(`^NOT-FROM-POSTERN ${forged.seq} `, 'm'));
  assert.match(shown, /^\d+ \S+ audit\.broken failed /m);
  assert.match(shown, /^\d+ \S+ api-key\.created ok .*label=after it/m);
  assert.match(await verified(), text);

  // The server sees it at its next record.
  await refusedByApi();
  await eventually(
    async () => (await readyz()).warnings.some((line) => line.includes('audit log was changed')),
    '/readyz tells it',
  );
  assert.equal((await readyz()).status, 200);
});
