import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asError, baseError } from './error.ts';
import { outside, withoutPaths } from './outside.ts';

test('A101: no text says outside where a file of the server is, whoever wrote it', () => {
  for (const [text, said] of [
    ['the assertion file /srv/secret-place/token cannot be read', 'the assertion file cannot be read'],
    ["the assertion file '/srv/my own/token' is empty", 'the assertion file is empty'],
    [
      "ENOENT: no such file or directory, open '/srv/a b/x'",
      'ENOENT: no such file or directory, open a file of the server',
    ],
    ['cannot read /token.', 'cannot read a file of the server.'],
    ['open file:///srv/x, then', 'open a file of the server, then'],
    ['postern --home=/srv/postern check', 'postern --home=a file of the server check'],
    ["it is '/srv/cut o", 'it is a file of the server'],
  ] as const)
    assert.equal(withoutPaths(text), said);
  for (const text of [
    'see https://login.example/common/oauth2 or 10.0.0.0/8 and /64',
    'there is no GET /srv/x; POST /v1/templates/preview tries one, /v1/messages/msg_1 not',
    'and/or, either / or, text/plain, http://[::1]/x',
    '/errors/store.full',
  ])
    assert.equal(withoutPaths(text), text);
  const failure = baseError('base.timeout', 'the assertion file /srv/p/token is empty', {
    hint: 'look at /srv/p/token',
    detail: { file: '/srv/p/token' },
  });
  const { message, hint, detail } = outside(failure);
  assert.doesNotMatch(JSON.stringify({ message, hint, detail }), /srv/);
  assert.equal(outside(failure).code, failure.code);
});

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
