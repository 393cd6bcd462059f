/** `postern apikey` and `postern suppression`, typed by a test. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openDesk } from '../bed/command-desk.ts';
import { startPostern } from '../bed/postern.ts';
import { privateFolder } from '../bed/process.ts';

const folder = privateFolder();
const desk = openDesk();
const { postern } = desk;
const home = join(folder.path, 'home');
const json = async (...args: string[]): Promise<unknown> =>
  JSON.parse((await postern(home, ['--json', ...args])).stdout.toString());
before(async () => {
  await postern(home, ['init']);
  writeFileSync(
    join(home, 'postern.yaml'),
    'listeners: [{ protocol: smtp, tls: none, port: 0 }]\nconsole: { port: 0 }\n',
  );
});
after(() => {
  desk.close();
  folder.remove();
});

test('an API key is shown once, works at once, and stops when it is revoked', async () => {
  const allow = 'templates:*,mailboxes:read,webhooks:*,events:read';
  const args = ['apikey', 'add', '--all', '--allow', allow, '--label', 'shop'];
  const limits = ['--rate', '600', '--network', '127.0.0.1', '--expires', '90d'];
  const made = (await json(...args, ...limits)) as { id: string; key: string; actions: string[]; networks: string[] };
  assert.match(made.key, /^postern_[0-9a-z]{32}$/);
  assert.deepEqual(made.actions, [
    'templates:read',
    'templates:write',
    'mailboxes:read',
    'webhooks:read',
    'webhooks:write',
    'events:read',
  ]);
  assert.deepEqual(made.networks, ['127.0.0.1/32']);
  const listed = await postern(home, ['apikey', 'list']);
  assert.match(listed.stdout.toString(), /shop +templates:read,templates:write,mailboxes:read,webhooks/);
  assert.ok(!listed.stdout.includes(made.key) && !listed.stderr.includes(made.key));

  const daemon = startPostern(home, ['serve', '--json'], {});
  try {
    const line = await new Promise<string>((resolve, reject) => {
      let text = '';
      daemon.child.stdout!.on('data', (piece: Buffer) => {
        text += piece.toString();
        if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
      });
      daemon.child.once('exit', () => reject(new Error(daemon.output())));
    });
    const { console } = JSON.parse(line) as { console: { port: number } };
    const ask = async (path: string): Promise<number> => {
      const headers = { authorization: `Bearer ${made.key}` };
      return (await fetch(`http://127.0.0.1:${console.port}${path}`, { headers })).status;
    };
    assert.deepEqual([await ask('/v1/templates'), await ask('/v1/messages')], [200, 403]);
    const hook = await fetch(`http://127.0.0.1:${console.port}/v1/webhooks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${made.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: 'https://hooks.example.com/' }),
    });
    const { id } = (await hook.json()) as { id: string };
    assert.match(
      (await postern(home, ['webhook', 'list'])).stdout.toString(),
      /whk_\w+ .+ key_\w+ \(shop\) .+ enabled/,
    );
    const revoked = { revoked: made.id, label: 'shop', webhooksDisabled: [id], waiting: 0 };
    assert.deepEqual(await json('apikey', 'revoke', 'shop'), revoked, 'A38: its webhook ends with it');
    assert.match(
      (await postern(home, ['webhook', 'list'])).stdout.toString(),
      /off since .+: its API key \w+ was revoked/,
    );
    await postern(home, ['webhook', 'assign', id, '--key', made.id], { accept: [64] });
    const next = (await json('apikey', 'add', '--all', '--allow', 'events:read', '--label', 'next')) as { id: string };
    await json('webhook', 'assign', id, '--key', next.id);
    assert.match((await postern(home, ['webhook', 'list'])).stdout.toString(), /\(next\) .+ enabled/);
    assert.deepEqual(await json('webhook', 'remove', id), { removed: id });
    await postern(home, ['webhook', 'remove', id], { accept: [64] });
    await json('apikey', 'revoke', next.id);
    for (const end = performance.now() + 5000; (await ask('/v1/templates')) !== 401;)
      assert.ok(performance.now() < end, 'the running server hears of it within seconds');
  } finally {
    await daemon.stop();
  }
  assert.deepEqual(await json('apikey', 'list'), []);
  const all = (await json('apikey', 'list', '--all')) as { state: string }[];
  assert.deepEqual(
    all.map(({ state }) => state),
    ['revoked', 'revoked'],
  );
  const log = (await postern(home, ['audit', 'show', '--json'])).stdout.toString();
  assert.ok(['api-key.created', 'api-key.revoked', 'api.refused'].every((type) => log.includes(type)));
  assert.ok(!log.includes(made.key));
});

test('addresses are suppressed, listed and freed', async () => {
  const add = ['suppression', 'add', 'Bob@x.test', '--reason', 'complaint', '--note', 'by phone'];
  assert.deepEqual(((await json(...add)) as { added: boolean }).added, true);
  const listed = await postern(home, ['suppression', 'list']);
  assert.match(listed.stdout.toString(), /bob@x\.test +\* +complaint +.+ by phone/);
  assert.deepEqual(await json('suppression', 'remove', 'bob@x.test'), { removed: 'bob@x.test', mailbox: '*' });
  await postern(home, ['suppression', 'remove', 'bob@x.test'], { accept: [64] });
  await postern(home, ['suppression', 'add', 'nobody'], { accept: [64] });
});

test('what a key is to allow is said, or refused with a next step', async () => {
  for (const args of [
    ['apikey', 'add', '--allow', '*', '--label', 'x'],
    ['apikey', 'add', '--all', '--label', 'x'],
    ['apikey', 'add', '--all', '--allow', 'messages:fly', '--label', 'x'],
    ['apikey', 'add', '--mailbox', 'nobody@x.test', '--allow', '*', '--label', 'x'],
    ['apikey', 'revoke', 'none'],
  ]) {
    const { stdout, stderr } = await postern(home, args, { accept: [64] });
    assert.equal(stdout.length, 0);
    assert.match(stderr, /^postern: .+\npostern: next: .+\n$/);
  }
});
