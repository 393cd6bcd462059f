/** What the command prints as JSON: every moment is an ISO 8601 text, never a number of milliseconds. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';

let site: SandboxGateway;
before(async () => {
  site = await startSandboxGateway();
});
after(() => site?.stop());

/** Paths of numbers that are moments by their size: after 2001 in milliseconds or seconds of the epoch. */
function moments(value: unknown, path = ''): readonly string[] {
  if (typeof value === 'number') return value > 1e9 ? [`${path} = ${value}`] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => moments(one, `${path}.${key}`));
}

for (const args of [
  ['mailbox', 'list'],
  ['mailbox', 'show', 'alice@contoso.test'],
  ['application', 'list'],
  ['password', 'list'],
  ['apikey', 'list'],
  ['outbox', 'list'],
  ['suppression', 'list'],
  ['notice', 'list'],
  ['audit', 'show', '-n', '200'],
  ['audit', 'verify'],
  ['events'],
])
  test(`N15: postern ${args.join(' ')} --json has times as text`, async () => {
    const { stdout } = await site.cli([...args, '--json']);
    const lines = stdout.toString().trim().split('\n').filter(Boolean);
    for (const line of lines) assert.deepEqual(moments(JSON.parse(line)), []);
  });
