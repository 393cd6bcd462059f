/** What curl and msmtp say of a refusal here, as they say it, is explained by `postern explain`. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { explain } from '../../src/check/explain.ts';
import { ERROR_TABLES } from '../../src/cli/error-tables.ts';
import { catalogue } from '../../src/oauth/catalogue/catalogue.ts';
import { ALICE } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { privateFolder, runProgram } from '../bed/process.ts';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

const ANY = Array.from({ length: 128 }, (_, code) => code);
const MESSAGE = `From: ${ALICE}\r\nTo: bob@contoso.test\r\nSubject: x\r\n\r\nx\r\n`;
const folder = privateFolder();
const data = { catalogue: catalogue(), tables: ERROR_TABLES };
const names = (line: string): readonly string[] => explain(line, data).map(({ name }) => name);
let site: SandboxGateway;

before(async () => {
  site = await startSandboxGateway();
});
after(async () => {
  await site?.stop();
  folder.remove();
});

/** The line in which it says why. */
async function curl(url: string, ...args: readonly string[]): Promise<string> {
  const { stderr } = await runProgram('curl', ['-sS', '--max-time', '30', url, ...args], { accept: ANY });
  return /^curl: .*$/m.exec(stderr)![0];
}

async function msmtp(account: Readonly<Record<string, string | number>>, from = ALICE): Promise<readonly string[]> {
  const config = join(folder.path, 'msmtprc');
  const { host, port } = site.facts.gateway.smtps;
  const settings = {
    host,
    port,
    from,
    tls: 'on',
    tls_starttls: 'off',
    tls_trust_file: site.facts.ca,
    auth: 'plain',
    ...account,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}`);
  writeFileSync(config, `account default\n${lines.join('\n')}\n`, { mode: 0o600 });
  const { stderr } = await runProgram('msmtp', ['-C', config, 'bob@contoso.test'], { accept: ANY, input: MESSAGE });
  return stderr.split('\n').filter((line) => line !== '' && !line.includes('could not send mail'));
}

test('P67: what curl says of a refusal is explained', { skip: without('curl') }, async () => {
  const { imaps, pop3s, smtps } = site.facts.gateway;
  const ca = ['--cacert', site.facts.ca];
  const wrong = [...ca, '--user', `${ALICE}:wrong-password`];
  for (const [scheme, { host, port }] of Object.entries({ imaps, pop3s, smtps }))
    assert.deepEqual(names(await curl(`${scheme}://${host}:${port}/`, ...wrong)), ['login denied'], scheme);
  const file = join(folder.path, 'message');
  writeFileSync(file, MESSAGE);
  const right = [...ca, '--user', `${ALICE}:${site.door.password}`, '--upload-file', file, '--mail-rcpt', 'b@x.test'];
  const sender = await curl(`smtps://${smtps.host}:${smtps.port}/`, ...right, '--mail-from', 'stranger@x.test');
  assert.deepEqual(names(sender), ['address not accepted'], sender);
  assert.deepEqual(names(await curl(`imaps://${imaps.host}:${imaps.port}/`, ...wrong.slice(2))), [
    'certificate verify failed',
  ]);
  assert.deepEqual(names(await curl('imap://127.0.0.1:1/')), ['connection refused']);
});

test(
  'P67: what msmtp says of a refusal is explained, its own words and the server’s',
  { skip: without('msmtp') },
  async () => {
    const password = `echo ${site.door.password}`;
    const [own, server] = await msmtp({ user: ALICE, passwordeval: 'echo wrong' });
    assert.deepEqual(names(own!), ['login denied'], own);
    assert.deepEqual(names(server!), ['gateway.wrong-password'], server);
    const [refused, why] = await msmtp({ user: ALICE, passwordeval: password }, 'stranger@x.test');
    assert.deepEqual(names(refused!), ['address not accepted'], refused);
    assert.ok(names(why!).length > 0, why);
    const [untrusted] = await msmtp({
      user: ALICE,
      passwordeval: password,
      tls_trust_file: '/etc/ssl/certs/ca-certificates.crt',
    });
    assert.deepEqual(names(untrusted!), ['certificate verify failed'], untrusted);
    const [closed] = await msmtp({ user: ALICE, passwordeval: password, port: 1 });
    assert.deepEqual(names(closed!), ['connection refused'], closed);
    const plain = await msmtp({ user: ALICE, passwordeval: password, port: site.facts.gateway.smtp.port, tls: 'off' });
    assert.ok(plain.length === 0 || names(plain[0]!).length > 0, plain.join('\n'));
  },
);
