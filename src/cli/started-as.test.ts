import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandLine } from './started-as.ts';

const run = (name: string, ...args: readonly string[]): readonly string[] | undefined =>
  commandLine(['node', `/usr/sbin/${name}`, ...args])?.slice(2);

test('F3: the command knows what it was started as, and the flags of sendmail in their own form', () => {
  assert.deepEqual(run('postern', 'check', '-q'), ['check', '-q']);
  assert.deepEqual(run('sendmail', '-oi', '-t'), ['sendmail', '-oi', '-t']);
  const cron = ['-FCronDaemon', '-i', '-B8BITMIME', '-oem', 'root'];
  assert.deepEqual(run('sendmail', ...cron), ['sendmail', ...cron]);
  assert.deepEqual(run('postern', 'sendmail', '-V', 'env1', 'a@x.test'), [
    'sendmail',
    '--envelope-id',
    'env1',
    'a@x.test',
  ]);
  assert.deepEqual(run('sendmail', '-Venv1', '--', '-q'), ['sendmail', '--envelope-id', 'env1', '--', '-q']);
  // A value is no flag, and what it says of a queue is of no concern.
  assert.deepEqual(run('sendmail', '-f', '-bp', 'a@x.test'), ['sendmail', '-f', '-bp', 'a@x.test']);
  const waiting = ['outbox', 'list', '--state', 'queued'];
  assert.deepEqual(run('sendmail', '-bp'), waiting);
  assert.deepEqual(run('mailq', '--json'), [...waiting, '--json']);
  assert.deepEqual(run('newaliases'), ['sendmail', '-b', 'i']);
  for (const nothing of ['-q', '-q30m']) assert.equal(run('sendmail', nothing), undefined);
  assert.deepEqual(run('sendmail', '-bi'), ['sendmail', '-b', 'i']);
  assert.deepEqual(run('sendmail', '-bm', '-q', 'a@x.test'), ['sendmail', '-bm', 'a@x.test']);
});

test('F64: help of any command, wherever its words and options stand', () => {
  assert.deepEqual(run('postern', 'help', 'mailbox', 'list'), ['mailbox', 'list', '--help']);
  assert.deepEqual(run('postern', 'help', 'nonsense'), ['nonsense', '--help']);
  assert.deepEqual(run('postern', '--home', 'help', 'help', 'check'), ['--home', 'help', 'check', '--help']);
  assert.deepEqual(run('postern', 'help'), ['help']);
  assert.deepEqual(run('postern', 'explain', 'help'), ['explain', 'help']);
});

test('F47: flags of sendmail without meaning here are taken, and none of them prints the help', () => {
  for (const flags of [
    '-h 5',
    '-h5',
    '-X /tmp/log',
    '-C /etc/mail/x.cf',
    '-d0',
    '-d0.1',
    '-Am',
    '-Ac',
    '-p ESMTP',
    '-e m',
    '-em',
  ])
    assert.deepEqual(run('sendmail', ...flags.split(' '), 'bob@x.test'), ['sendmail', 'bob@x.test'], flags);
  assert.deepEqual(run('postern', 'sendmail', '-h'), ['sendmail', '-h']);
});

test('help of a command two words deep is its own help', () => {
  assert.deepEqual(run('postern', 'help', 'mailbox', 'add'), ['mailbox', 'add', '--help']);
  assert.deepEqual(run('postern', 'help', 'mailbox'), ['mailbox', '--help']);
});
