/** What a stranger gives as a password or a key takes no word out of the log or the audit log. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { eventually } from '../bed/eventually.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { Wire } from '../bed/wire.ts';

let site: SandboxGateway;
before(async () => {
  site = await startSandboxGateway();
});
after(() => site?.stop());

const ALICE = 'alice@contoso.test';
const CAROL = 'carol@fabrikam.test';
const base64 = (text: string): string => Buffer.from(text).toString('base64');

async function say(address: { host: string; port: number }, lines: readonly (readonly [string, RegExp])[]) {
  const wire = await Wire.open(address);
  await wire.until(/\r\n/);
  for (const [line, answer] of lines) {
    wire.send(`${line}\r\n`);
    await wire.until(answer);
  }
  wire.destroy();
}

const ANSWER = /^(?:a |-ERR|[45]\d\d ).*\r\n/m;

/** By each door that a stranger finds open, once: who guesses more is slowed down. */
async function tryAll(): Promise<void> {
  const { gateway, console } = site.facts;
  await say(gateway.imap, [['a LOGIN "intruder@evil.test" "remoteAddress"', ANSWER]]);
  await say(gateway.imap, [[`a AUTHENTICATE PLAIN ${base64('\0intruder@evil.test\u0000127.0.0.1')}`, ANSWER]]);
  await say(gateway.pop3, [
    ['USER intruder@evil.test', /\+OK.*\r\n/],
    [`PASS ${CAROL}`, ANSWER],
  ]);
  await say(gateway.smtp, [
    ['EHLO x', /250 .*\r\n/],
    ['AUTH LOGIN', /334 .*\r\n/],
    [base64('intruder@evil.test'), /334 .*\r\n/],
    [base64(ALICE), ANSWER],
  ]);
  const headers = { authorization: 'Bearer appPasswordId' };
  assert.equal((await fetch(`http://${console.host}:${console.port}/v1/mailboxes`, { headers })).status, 401);
}

test('A52: words tried as passwords and API keys stay in the log and in the audit log', async () => {
  await tryAll();
  const { door } = site;
  await say(door.smtp, [
    ['EHLO x', /250 .*\r\n/],
    [`AUTH PLAIN ${base64(`\0${ALICE}\0${door.password}`)}`, /^235 .*\r\n/m],
    [`MAIL FROM:<${ALICE}>`, /^250 .*\r\n/m],
    [`RCPT TO:<${CAROL}>`, /^250 .*\r\n/m],
    ['DATA', /^354 .*\r\n/m],
    ['Subject: x\r\n\r\nx\r\n.', /^250 .*\r\n/m],
    ['QUIT', /^221 /m],
  ]);
  let records: readonly { readonly data: Readonly<Record<string, unknown>> }[] = [];
  await eventually(async () => {
    const shown = await site.cli(['audit', 'show', '--json', '--mailbox', ALICE, '--type', 'message.relayed']);
    records = JSON.parse(shown.stdout.toString()) as typeof records;
    return records.length > 0;
  }, 'the message is on the audit log');
  const { data } = records[0]!;
  assert.deepEqual([data['from'], data['to'], data['remoteAddress']], [ALICE, [CAROL], '127.0.0.1']);
  assert.match(String(data['appPasswordId']), /^apw_/);
  const log = site.output();
  assert.doesNotMatch(log, /\[secret\]/);
  // As packaging/fail2ban/postern.conf reads it.
  const refused =
    log.match(/^.*"remoteAddress":"127\.0\.0\.1".*"reason":"[^"]+","msg":"sign-in refused"\}\s*$/gm) ?? [];
  assert.ok(refused.length >= 4, log);
});

test('A52: the rooms that strangers speak to make no secret known before it has proved right', () => {
  const folder = new URL('../../src/', import.meta.url);
  const files = globSync('{protocol,gateway,server/api}/**/*.ts', { cwd: folder, exclude: ['**/*.test.ts'] });
  assert.ok(files.length > 50);
  for (const file of files) assert.doesNotMatch(readFileSync(new URL(file, folder), 'utf8'), /new Secret\(/, file);
});
