/** The authority's steps against the sandbox's, whose clock can be moved. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { resolveProvider } from '../oauth/provider.ts';
import { type Sandbox, startSandbox } from '../sandbox/index.ts';
import { checkAuthority } from './authority.ts';
import { asSentence, Steps } from './step.ts';
import type { Finding } from './types.ts';

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox.close());

async function findings(settings: Readonly<Record<string, unknown>> = {}): Promise<ReadonlyMap<string, Finding>> {
  const own = { authority: sandbox.authority, ca: sandbox.caPem, ...settings };
  const profile = resolveProvider({ name: 'work', provider: 'microsoft', tenant: sandbox.tenantId, settings: own });
  const steps = new Steps(systemClock, {}, { application: 'work' });
  const found = new Map<string, Finding>();
  for await (const one of checkAuthority({ clock: systemClock }, profile, steps, { timeoutMs: 10_000 }))
    found.set(one.step, one);
  return found;
}

test('everything is as it should be', async () => {
  const found = await findings();
  assert.deepEqual(
    [...found].map(([step, { outcome }]) => [step, outcome]),
    [
      ['authority.dns', 'ok'],
      ['authority.tcp', 'ok'],
      ['authority.tls', 'ok'],
      ['authority.metadata', 'ok'],
      ['clock', 'ok'],
    ],
  );
  assert.match(String(found.get('authority.tls')?.facts['protocol']), /^TLSv1\.[23]$/);
});

test('another issuer, another tenant, nobody there', async () => {
  const other = await findings({ issuer: 'https://login.example/tenant/v2.0' });
  assert.equal(other.get('authority.metadata')?.error?.code, 'check.metadata');
  const nowhere = await findings({ authority: 'https://localhost:1/tenant' });
  assert.equal(nowhere.get('authority.tcp')?.diagnosis?.id, 'network.refused');
  assert.equal(nowhere.has('authority.metadata'), false, 'what cannot be tried is not');
  const stranger = await findings({ ca: undefined });
  assert.equal(stranger.get('authority.tls')?.diagnosis?.id, 'tls.unknown-ca');
});

test('P83: a wrong tenant is told in the provider’s own words, with the application’s name and the host as it is written', async () => {
  const wrong = `${new URL(sandbox.authority).origin}/11111111-2222-4333-8444-555555555555`;
  const found = (await findings({ authority: wrong })).get('authority.metadata')!;
  assert.match(found.says, /answers 400 where its metadata should be: AADSTS90002: /);
  assert.equal(found.diagnosis?.id, 'microsoft.tenant-unknown');
  assert.match(JSON.stringify(found.diagnosis.remedy), /postern application show work/);
  const other = (await findings({ issuer: 'https://login.example/tenant/v2.0' })).get('authority.metadata')!;
  assert.match(JSON.stringify(other.diagnosis?.remedy), /postern application show work"/);
  for (const text of [
    'localhost:2443 answers 400',
    'mail.example refused',
    '--imap is wrong',
    'AADSTS90002: no tenant',
  ])
    assert.equal(asSentence(text), text);
  assert.equal(asSentence('the name does not exist'), 'The name does not exist');
});

test('a proxy makes the connection, so a direct one proves nothing', async () => {
  process.env['https_proxy'] = 'http://127.0.0.1:1';
  try {
    const found = await findings();
    assert.equal(found.get('authority.tcp')?.outcome, 'skipped');
    assert.equal(found.get('authority.metadata')?.diagnosis?.id, 'network.refused');
  } finally {
    delete process.env['https_proxy'];
  }
});

test('the clock: a warning from one minute, a failure from five', async () => {
  await sandbox.clock.advance(2 * 60_000);
  const warned = (await findings()).get('clock');
  assert.deepEqual([warned?.outcome, warned?.diagnosis?.id], ['warning', 'clock.skew']);
  assert.match(warned?.says ?? '', /1[12]\d seconds slow/);
  await sandbox.clock.advance(10 * 60_000);
  const failed = (await findings()).get('clock');
  assert.equal(failed?.error?.code, 'check.clock');
  assert.match(failed?.diagnosis?.remedy[0]?.do ?? '', /timedatectl set-ntp true/);
});
