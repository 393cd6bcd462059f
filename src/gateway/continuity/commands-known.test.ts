/** What commands mean for a session that may have to go on elsewhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../../protocol/imap/token.ts';
import type { Command } from './command.ts';
import { byNumber, isKnown, isRepeatable, isSlow, leavesNoTrace, savesResult } from './commands-known.ts';

/** `UID SEARCH ALL` as a command. */
function command(line: string, more: readonly Segment[] = []): Command {
  const words = line.split(' ');
  const verb = words[0] === 'UID' ? words.slice(0, 2).join(' ') : words[0]!;
  return { tag: 'a', verb, line, segments: [`a ${line}`, ...more], small: true, unasked: false };
}

test('messages are meant by their numbers where the command, or an argument of it, says so', () => {
  for (const line of [
    'FETCH 1 FLAGS',
    'SEARCH ALL',
    'UID SEARCH 1:5',
    'UID SEARCH NOT (2,4:*)',
    'UID SORT (DATE) UTF-8 *',
  ])
    assert.equal(byNumber(command(line)), true, line);
  for (const line of [
    'UID FETCH 1 FLAGS',
    'UID SEARCH ALL',
    'UID SEARCH UNSEEN',
    'NOOP',
    'STATUS 1 (MESSAGES)',
    'DELETE 1',
  ])
    assert.equal(byNumber(command(line)), false, line);
});

test('only what reads, in one short piece, may be sent a second time', () => {
  for (const line of ['NOOP', 'FETCH 1 FLAGS', 'UID SEARCH ALL', `FETCH ${'1,'.repeat(4_000)}1 UID`])
    assert.equal(isRepeatable(command(line)), true, line.slice(0, 40));
  for (const line of [
    'STORE 1 FLAGS ()',
    'APPEND x {3}',
    'XTHING',
    'LIST "" {3}',
    'LIST "" {3+}',
    `FETCH ${'1,'.repeat(5_000)}1 UID`,
  ])
    assert.equal(isRepeatable(command(line)), false, line.slice(0, 40));
  assert.equal(isRepeatable(command('LIST "" x', ['y'])), false, 'it has a literal');
});

test('a trace is left by what is not known, saves a result, or makes the server tell more', () => {
  for (const line of ['NOOP', 'STORE 1 FLAGS ()', 'SELECT INBOX', 'UID SEARCH RETURN (MIN) ALL'])
    assert.equal(leavesNoTrace(command(line)), true, line);
  for (const line of [
    'XTHING',
    'ENABLE QRESYNC',
    'SELECT INBOX (CONDSTORE)',
    'FETCH 1 (MODSEQ)',
    'STATUS INBOX (HIGHESTMODSEQ)',
    'UID SEARCH RETURN (SAVE) ALL',
    'SORT RETURN (UPDATE) (DATE) UTF-8 ALL',
  ])
    assert.equal(leavesNoTrace(command(line)), false, line);
  assert.equal(leavesNoTrace(command('FETCH 1 (UID', [' MODSEQ)'])), false, 'said in a later piece');
  assert.equal(savesResult(command('FETCH RETURN (SAVE)')), false);
});

test('what takes minutes, and what is known', () => {
  assert.deepEqual(
    ['SEARCH', 'UID MOVE', 'APPEND', 'NOOP', 'FETCH', 'XTHING'].map((line) => isSlow(command(line))),
    [true, true, true, false, false, false],
  );
  assert.deepEqual(['NOOP', 'APPEND', 'ENABLE', 'LOGIN', 'XTHING'].map(isKnown), [true, true, true, false, false]);
});
