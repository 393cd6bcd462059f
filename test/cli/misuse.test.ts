/** The real command, used wrongly: exit code, a next step, and one JSON object on standard error with --json. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openDesk } from '../bed/command-desk.ts';
import { postern } from '../bed/postern.ts';
import { privateFolder } from '../bed/process.ts';

const folder = privateFolder();
const desk = openDesk();
after(() => {
  desk.close();
  folder.remove();
});

const MISUSE: readonly (readonly [args: readonly string[], code: string])[] = [
  [['bogus'], 'cli.usage'],
  [['mailbox', 'list'], 'server.not-initialised'],
  [['token'], 'cli.usage'],
  [['serve', '--workers', '0'], 'cli.usage'],
  [['application', 'add', '', '--client-id', 'x'], 'cli.usage'],
  [['sandbox', '--port', '7'], 'cli.usage'],
  [
    ['application', 'add', 'work', '--client-id', 'x', '--client-secret-file', '-', '--secret-expires', '2020-01-01'],
    'cli.usage',
  ],
  [['client-config', 'alice@contoso.test', '--for', 'msmtp', '--host', 'a b"c'], 'cli.usage'],
  [['check', 'alice@contoso.test', '--installation'], 'cli.usage'],
];

for (const [args, code] of MISUSE) {
  test(`postern ${args.join(' ')}`, async () => {
    const plain = await postern(folder.path, args, { accept: [64] });
    assert.equal(plain.stdout.length, 0);
    assert.match(plain.stderr, /^postern: .+\npostern: next: .+\n$/);
    const json = await desk.postern(folder.path, [...args, '--json'], { accept: [64] });
    assert.equal(json.stdout.length, 0);
    const { error } = JSON.parse(json.stderr) as { error: { code: string; hint: string } };
    assert.equal(error.code, code);
    assert.notEqual(error.hint, '');
  });
}

/** None of them has an installation: the words are looked at first. */
const EMPTY: readonly (readonly [args: readonly string[], what: string])[] = [
  [['password', 'revoke', ''], '<id>'],
  [['apikey', 'revoke', ' '], '<id>'],
  [['outbox', 'hold', ''], '<id-or-address>'],
  [['outbox', 'retry', 'one', '', 'three'], '<id>'],
  [['application', 'credential', 'remove', 'work', ''], '<credential>'],
  [['suppression', 'add', 'bob@x.test', '--mailbox', ''], '--mailbox'],
  [['outbox', 'list', '--mailbox='], '--mailbox'],
  [['check', ''], '<address>'],
  [['explain', ''], '<what>'],
  [['--home', '', 'mailbox', 'list'], '--home'],
];

for (const [args, what] of EMPTY)
  test(`F65: an empty word is refused by its name: ${JSON.stringify(args)}`, async () => {
    const { stderr } = await desk.postern(folder.path, args, { accept: [64] });
    assert.match(
      stderr,
      new RegExp(`^postern: ${what} is empty\npostern: next: .*postern ${args.find((word) => /^\w/.test(word))}`),
    );
  });

test('G3: how many are shown is at least one, and a port is one', async () => {
  for (const [line, range] of [
    ['audit show --limit 0', '1 to 100000'],
    ['events --limit 0', '1 to 100000'],
    ['sandbox --port 65536', '0 to 65535'],
  ] as const) {
    const { stderr } = await desk.postern(folder.path, line.split(' '), { accept: [64] });
    assert.match(stderr, new RegExp(`give a whole number from ${range}`), line);
  }
});

test('F64: an unknown command is said to be one, also when its help is asked for', async () => {
  for (const line of [
    'help nonsense',
    'mailbox nonsense --help',
    'help --home /x mailbox nonsense',
    'sandbox --port 3 nonsense --help',
  ]) {
    const { stderr, stdout } = await desk.postern(folder.path, line.split(' '), { accept: [64] });
    assert.match(stderr, /^postern: unknown command 'nonsense'\npostern: next: /, line);
    assert.equal(stdout.length, 0);
  }
  for (const [line, usage] of [
    ['help mailbox list', 'mailbox list'],
    ['sandbox --port 3 fault --help', 'sandbox fault'],
    ['explain nonsense --help', 'explain'],
    ['help check', 'check'],
  ] as const) {
    const { stdout } = await desk.postern(folder.path, line.split(' '));
    assert.ok(stdout.toString().startsWith(`Usage: postern ${usage} `), line);
  }
});

test('a public console has to be asked for, and the line is named', async () => {
  const { parseConfig } = await import('../../src/server/config.ts');
  assert.throws(
    () => parseConfig('workers: 1\nconsole:\n  host: 0.0.0.0\n', 'p.yaml'),
    /p\.yaml line 3: console\.host: /,
  );
  assert.equal(parseConfig('console: { host: 0.0.0.0, insecurePublic: true }', 'p.yaml').console.host, '0.0.0.0');
});
