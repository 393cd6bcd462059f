import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { isError } from '../base/error.ts';
import { type EngineParts, makeEngine } from './engine.ts';

function engine(pauses: number[]) {
  return makeEngine({
    name: 'postgres',
    db: undefined as unknown as EngineParts['db'],
    leaseTime: () => sql<number>`0`,
    committed: () => undefined,
    pause: async (ms) => void pauses.push(ms),
  });
}

test('Q7: transactions that collide come again after a pause that grows, and end after a few', async () => {
  const pauses: number[] = [];
  let tries = 0;
  const collide = (): Promise<never> => {
    tries += 1;
    return Promise.reject(Object.assign(new Error('deadlock detected'), { code: '40P01' }));
  };
  await assert.rejects(
    engine(pauses).read(collide),
    (error) => isError(error) && /in each other’s way/.test(error.message),
  );
  assert.equal(tries, 5);
  assert.equal(pauses.length, 4);
  for (const [at, ms] of pauses.entries()) assert.ok(ms >= 5 * 2 ** at && ms <= 10 * 2 ** at, `${at}: ${ms}`);
});

test('Q7: what is no collision is not tried again', async () => {
  const pauses: number[] = [];
  let tries = 0;
  await assert.rejects(
    engine(pauses).read(() => {
      tries += 1;
      return Promise.reject(Object.assign(new Error('no such table'), { code: '42P01' }));
    }),
  );
  assert.deepEqual([tries, pauses], [1, []]);
});
