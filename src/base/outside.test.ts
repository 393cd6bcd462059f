import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asError, baseError } from './error.ts';
import { outside } from './outside.ts';

test('K60: a failure of the machine is told outside without paths of ours', () => {
  const failure = asError(
    Object.assign(new Error('EMFILE'), { code: 'EMFILE', path: '/opt/postern/data/edition.json' }),
  );
  assert.match(failure.message, /edition\.json/);
  const said = outside(failure);
  assert.equal(
    said.message,
    'a file of the server cannot be opened: this process or this machine has too many files open',
  );
  assert.deepEqual([said.code, said.kind, said.detail], ['base.too-many-files', 'later', {}]);
  assert.doesNotMatch(JSON.stringify(outside(asError({ code: 'ENOSPC', path: '/srv/x' }))), /srv/);
  const other = baseError('base.timeout', 'the other side did not answer in time');
  assert.equal(outside(other), other);
});
