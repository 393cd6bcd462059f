import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import type { Application, CredentialFacts } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import { checkCredential } from './credential.ts';

const DAY_MS = 86_400_000;
const clock = new ManualClock();
const folder = mkdtempSync(join(tmpdir(), 'postern-credential-'));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Held {
  readonly id: string;
  readonly type: 'secret' | 'federated';
  readonly assertionFile?: string;
  readonly days?: number;
}

const unused = (): Promise<never> => Promise.reject(new Error('nobody asks for this'));

function found(held: readonly Held[]): ReturnType<typeof checkCredential> {
  const credentials: readonly CredentialFacts[] = held.map(({ id, type, days }, index) => ({
    id,
    type,
    addedAt: index,
    ...(days === undefined ? {} : { expiresAt: clock.now() + days * DAY_MS }),
  }));
  const sealed = JSON.stringify({
    credentials: held.map(({ id, type, assertionFile }) => ({ id, type, secret: 'a-secret-value', assertionFile })),
  });
  const vault: Vault = {
    seal: unused,
    open: () => Promise.resolve(new Secret(sealed)),
    newDataKey: unused,
    openDataKey: unused,
    derive: unused,
  };
  const application: Application = {
    id: 'app_1',
    name: 'work',
    provider: 'microsoft',
    clientId: 'x',
    tenant: undefined,
    settings: {},
    credential: held.length === 0 ? undefined : new Uint8Array(1),
    credentials,
    createdAt: 0,
  };
  return checkCredential({ vault, clock }, application);
}

test('none is needed', async () => assert.match((await found([])).says, /public client/));

test('the last of several counts', async () => {
  const { warning } = await found([{ id: 'a', type: 'secret', days: 5 }]);
  assert.match(warning?.cause ?? '', /ends on \d{4}-\d\d-\d\d, in 5 days/);
  const both = await found([
    { id: 'a', type: 'secret', days: -5 },
    { id: 'b', type: 'secret', days: 90 },
  ]);
  assert.equal(both.warning, undefined);
  await assert.rejects(found([{ id: 'a', type: 'secret', days: -5 }]), {
    code: 'check.credential',
    hint: /credential add work/,
  });
});

test('a secret without a date', async () =>
  assert.match((await found([{ id: 'a', type: 'secret' }])).says, /only the provider knows/));

test('a federated assertion is read where the platform keeps it', async () => {
  const file = join(folder, 'assertion');
  const jwt = (exp: number): string => `e30.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.x`;
  const held = [{ id: 'a', type: 'federated', assertionFile: file }] as const;
  await assert.rejects(found(held), { code: 'check.credential' });
  writeFileSync(file, `${jwt(clock.now() / 1000 + 600)}\n`);
  assert.equal((await found(held)).warning, undefined, 'short-lived by design');
  writeFileSync(file, jwt(clock.now() / 1000 - 1));
  await assert.rejects(found(held), /ended on/);
});

test('P51: a known end is told beside a secret whose end nobody gave, by check as by everybody else', async () => {
  const older = await found([
    { id: 'old', type: 'secret' },
    { id: 'new', type: 'secret', days: 2 },
  ]);
  assert.match(older.warning?.cause ?? '', /client secret of application work ends on .*, in 2 days; when another one/);
  assert.match(older.warning?.remedy[1]?.run ?? '', /credential set work old --secret-expires DATE/);
  const later = await found([
    { id: 'old', type: 'secret', days: 2 },
    { id: 'new', type: 'secret' },
  ]);
  assert.equal(later.warning, undefined, 'the later one takes its place');
  assert.match(later.says, /good until \d{4}-\d\d-\d\d, in 2 days; when another one ends only the provider knows/);
});
