import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storeError } from '../../store/errors.ts';
import { problemOf } from './problem.ts';

test('K24: what the operator has to correct is not called the request’s fault', async () => {
  for (const code of ['store.damaged', 'store.misconfigured', 'store.newer'] as const) {
    const answer = problemOf(storeError(code, 'it does not work'), 'req_1', 0);
    const { title } = (await answer.json()) as { title: string };
    assert.deepEqual([answer.status, title], [503, 'whoever runs this Postern has to act'], code);
  }
});
