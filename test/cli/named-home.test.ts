/** Command lines that are printed are pasted: they act on the installation that they are about, and not on the usual one. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { asStarted, jsonAsStarted, nameHome } from '../../src/cli/command-name.ts';
import { openLog } from '../../src/server/log.ts';
import { ALICE } from '../bed/mail-site.ts';
import { COMMAND, postern } from '../bed/postern.ts';
import { privateFolder, runProgram } from '../bed/process.ts';
import { until } from '../bed/running-serve.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { Wire } from '../bed/wire.ts';

const folder = privateFolder();
const [home, usual] = [join(folder.path, 'its own'), join(folder.path, 'usual')];
let sandbox: SandboxGateway;

before(async () => {
  sandbox = await startSandboxGateway(['--home', home]);
  await postern(usual, ['init', '--no-mailbox']);
});
after(async () => {
  await sandbox?.stop();
  folder.remove();
});

/** With `postern` on the PATH, and another installation where none is named. */
function shell(line: string) {
  const name = `postern() { ${[process.execPath, ...COMMAND].map((word) => `'${word}'`).join(' ')} "$@"; }`;
  return runProgram('bash', ['-c', `${name}; ${line}`], {
    env: { HOME: usual, POSTERN_HOME: usual },
    accept: [0, 64, 69],
  });
}

test('P43: the command for an app password that client-config prints makes it in the installation of --home', async () => {
  const { stderr } = await shell(`postern --home '${home}' client-config ${ALICE} --for python`);
  const line = /make the app password with: (.+)$/m.exec(stderr)?.[1];
  assert.ok(line, stderr);
  await shell(line);
  const labels = async (of: string): Promise<readonly string[]> => {
    const { stdout } = await postern(of, ['password', 'list', '--json']);
    return (JSON.parse(stdout.toString()) as { label: string }[]).map(({ label }) => label);
  };
  assert.deepEqual(await labels(usual), [], 'nothing was made in the usual installation');
  assert.ok((await labels(home)).includes('python'), line);
});

test('P43: next steps name the installation of --home, as text, as JSON, of errors and of what went well', async () => {
  const named = `postern --home '${home}' `;
  const wrong = await shell(`postern mailbox show nobody@contoso.test --home '${home}'`);
  assert.match(wrong.stderr, /next: /);
  for (const { index } of wrong.stderr.matchAll(/postern (?=mailbox|check|outbox|password)/g))
    assert.fail(wrong.stderr.slice(index));
  assert.ok(wrong.stderr.includes(named), wrong.stderr);
  const json = await shell(`postern --json --home '${home}' mailbox show nobody@contoso.test`);
  const { error } = JSON.parse(json.stderr) as { error: { hint: string } };
  assert.ok(error.hint.includes(named), error.hint);
  const explained = JSON.parse((await shell(`postern --home='${home}' explain flows --json`)).stdout.toString()) as {
    commands: readonly string[];
  }[];
  assert.deepEqual(
    explained.flatMap(({ commands }) => commands).filter((line) => !line.startsWith(named)),
    [],
  );
  // A variable that names it is still set where the line is pasted.
  const variable = await runProgram(
    'bash',
    ['-c', `"$@"`, 'bash', process.execPath, ...COMMAND, 'mailbox', 'show', 'nobody@contoso.test'],
    {
      env: { HOME: usual, POSTERN_HOME: home },
      accept: [64, 69],
    },
  );
  assert.doesNotMatch(variable.stderr, /--home/);
});

test('P43: what the log of a server and its demonstration name can be pasted too', async () => {
  let lines = '';
  const words = (text: string): string => asStarted(text, { command: '/src/bin/postern', home: '/srv/mail box' });
  const put = (octets: Uint8Array): number => {
    lines += Buffer.from(octets).toString();
    return octets.length;
  };
  const log = openLog({ level: 'info', format: 'json' }, { isTTY: false, put }, words);
  log.warn({ hint: '`postern check a@b.test` says more', home: 'C:\\postern\\x' }, 'see: postern outbox list');
  log.flush();
  const line = JSON.parse(lines) as Record<string, string>;
  assert.equal(line['hint'], "`/src/bin/postern --home '/srv/mail box' check a@b.test` says more");
  assert.equal(line['msg'], "see: /src/bin/postern --home '/srv/mail box' outbox list");
  assert.equal(line['home'], 'C:\\postern\\x');

  const demonstration = spawn(process.execPath, [...COMMAND, 'sandbox', '--gateway', '--port', '0'], {
    env: { HOME: usual, PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const chunk of demonstration.stdout as AsyncIterable<Buffer>) {
    said += String(chunk);
    if (said.includes('Ctrl-C ends it.')) break;
  }
  const why = /^See why: (.+)$/m.exec(said)?.[1];
  assert.ok(why, said);
  const checked = await shell(why);
  assert.match(checked.stdout.toString(), /Everything works/, checked.stderr);
  demonstration.kill();
  await once(demonstration, 'exit');
});

test('P89: commands in replies to mail programs and of the HTTP API name no home, wherever the server has it; its log does', async () => {
  const { gateway, console: at } = sandbox.facts;
  const { host, port } = gateway.smtp;
  const wire = await Wire.open({ host, port });
  await wire.until(/^220 .*\r\n/m);
  wire.send('EHLO program\r\n');
  await wire.until(/^250 .*\r\n/m);
  wire.send(`AUTH PLAIN ${Buffer.from(`\0${ALICE}\0${sandbox.door.password}`).toString('base64')}\r\n`);
  await wire.until(/^235 .*\r\n/m);
  wire.send('MAIL FROM:<stranger@x.test>\r\n');
  const refusal = await wire.until(/^550 .*\r\n/m);
  wire.destroy();
  assert.match(refusal, /postern mailbox set alice@contoso\.test --send-as/);
  const answer = await fetch(`http://${at.host}:${at.port}/v1/messages`);
  const { hint } = (await answer.json()) as { hint: string };
  assert.match(hint, /postern apikey add/);
  for (const text of [refusal, hint]) assert.ok(!text.includes(home) && !text.includes('--home'), text);

  const guess = await Wire.open(gateway.imap);
  await guess.until(/^\* OK .*\r\n/);
  guess.send(`a LOGIN ${ALICE} wrong\r\n`);
  await guess.until(/^a NO .*\r\n/m);
  guess.destroy();
  const named = `postern --home '${home}' password add`;
  await until(
    'the log has it',
    () => sandbox.output().includes(named),
    10_000,
    () => sandbox.output(),
  );
});

test('P43: the home is named once, and not where a line has none or another one', (t) => {
  t.after(() => nameHome(undefined));
  const form = { command: 'postern', home: '/x' };
  for (const [text, printed] of [
    ['start it: postern serve', 'start it: postern --home /x serve'],
    ['postern --home /y init', 'postern --home /y init'],
    ['postern mailbox list --home /y; or postern init', 'postern mailbox list --home /y; or postern --home /x init'],
    [
      'sudo -H -u mail env POSTERN_HOME=/y POSTERN_CONFIG=/z postern check; or postern init',
      'sudo -H -u mail env POSTERN_HOME=/y POSTERN_CONFIG=/z postern check; or postern --home /x init',
    ],
    ['postern sandbox fault clear', 'postern sandbox fault clear'],
    ['NODE_EXTRA_CA_CERTS=F postern check a@b.test', 'NODE_EXTRA_CA_CERTS=F postern --home /x check a@b.test'],
    ['see postern.yaml', 'see postern.yaml'],
  ] as const)
    assert.equal(asStarted(text, form), printed);
  nameHome('/x');
  const value = {
    subject: 'postern check it',
    at: new Date(0),
    remedy: [{ do: 'do it', run: 'postern check' }],
    problems: ['it is down: postern serve'],
  };
  assert.deepEqual(jsonAsStarted(value), {
    subject: 'postern check it',
    at: '1970-01-01T00:00:00.000Z',
    remedy: [{ do: 'do it', run: 'postern --home /x check' }],
    problems: ['it is down: postern --home /x serve'],
  });
});
