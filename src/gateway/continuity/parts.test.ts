/** What sessions are made of: queues, octets that wait, lines, replies that are due, commands of ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { upstreamError } from '../../upstream/errors.ts';
import { InTurn } from './in-turn.ts';
import { isLoneLine, textOf } from './lines.ts';
import { Hopeless, hopelessReason, Moments, Stop } from './moments.ts';
import { OwnCommand } from './own-command.ts';
import { MailboxNews } from './news.ts';
import type { Selecting } from './selecting.ts';
import { DueReplies } from './smtp-due.ts';
import { Unfinished } from './unfinished.ts';

test('a queue gives what came in the order it came, and lets go of what was taken', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 400 }), (pushes) => {
      const queue = new InTurn<number>();
      const model: number[] = [];
      for (const [n, push] of pushes.entries()) {
        if (push) queue.push(n);
        else assert.equal(queue.shift(), model[0]);
        if (push) model.push(n);
        else model.shift();
        assert.deepEqual([queue.length, queue.first], [model.length, model[0]]);
      }
    }),
  );
  const long = new InTurn<number>();
  for (let n = 0; n < 1_000; n++) long.push(n);
  for (let n = 0; n < 999; n++) assert.equal(long.shift(), n);
  assert.deepEqual([long.length, long.first], [1, 999]);
});

test('octets that come one by one are whole again, in memory that doubles', () => {
  const waiting = new Unfinished();
  const all = Buffer.from(Array.from({ length: 2_000 }, (_, n) => n % 251));
  const sizes = new Set<number>();
  for (const octet of all) {
    waiting.add(Buffer.from([octet]));
    sizes.add(waiting.memory);
  }
  assert.ok(sizes.size <= 5 && waiting.memory <= 4 * all.length, `${sizes.size} times, ${waiting.memory}`);
  assert.equal(waiting.start(3), all.toString('latin1', 0, 3));
  assert.equal(waiting.start(9_999).length, 2_000);
  assert.ok(waiting.take().equals(all));
  assert.deepEqual([waiting.length, waiting.memory], [0, 0]);
  waiting.add(Buffer.from('ab'));
  assert.equal(waiting.takeWith(Buffer.from('c')).toString(), 'abc');
  waiting.add(Buffer.from('ab'));
  assert.equal(waiting.takeWith(Buffer.alloc(1_000, 'x')).toString(), `ab${'x'.repeat(1_000)}`);
  waiting.add(Buffer.from('ab'));
  assert.equal(waiting.takeWith(Buffer.alloc(0)).toString(), 'ab');
  assert.equal(waiting.length, 0);
});

test('a lone line is one whole line and no more; its text is without its end', () => {
  const lone = (text: string): boolean => isLoneLine(Buffer.from(text), '{'.charCodeAt(0));
  assert.deepEqual(['a NOOP\r\n', 'a\n', '\n'].map(lone), [true, true, true]);
  assert.deepEqual(['a NOOP\r', 'a\r\nb\r\n', 'a {3}\r\n', ''].map(lone), [false, false, false, false]);
  assert.deepEqual([lone(`${'x'.repeat(511)}\n`), lone(`${'x'.repeat(512)}\n`)], [true, false]);
  assert.equal(textOf(Buffer.from('xa NOOP\r\n'), 1, 8), 'a NOOP');
  assert.equal(textOf(Buffer.from('xa NOOP\n'), 1, 7), 'a NOOP');
});

test('replies that are due are counted in octets and whole messages, and taken in order', () => {
  const due = new DueReplies();
  assert.equal(due.take(), undefined);
  due.add({ verb: 'MAIL', address: 'a@x.test' });
  due.add({ verb: '.' });
  due.add({ verb: 'NOOP', reply: '250 OK' });
  assert.deepEqual([due.length, due.octets, due.hasMessage, due.first?.verb], [3, 3 * 64 + 8 + 6, true, 'MAIL']);
  assert.deepEqual([due.take()?.verb, due.take()?.verb, due.hasMessage], ['MAIL', '.', false]);
  assert.deepEqual([due.take()?.reply, due.octets], ['250 OK', 0]);
  for (let n = 0; n < 1_023; n++) due.add({ verb: 'RCPT' });
  assert.deepEqual([due.full, due.roomy], [false, false]);
  due.add({ verb: 'BDAT LAST' });
  assert.deepEqual([due.full, due.hasMessage], [true, true]);
  for (let n = 0; n < 511; n++) due.take();
  assert.equal(due.roomy, false);
  due.take();
  assert.deepEqual([due.roomy, due.full], [true, false]);
});

test('a command of ours ends once, with its own answer, and its tag is no longer ours then', () => {
  const own = new OwnCommand('px');
  const answers: string[] = [];
  const tag = own.newTag();
  assert.deepEqual([tag, own.newTag(), own.isLike('px9'), own.isLike('a1')], ['px1', 'px2', true, false]);
  own.begin(tag, false, (answer) => answers.push(answer));
  assert.deepEqual([own.pending, own.isTag(tag), own.isTag('px2')], [true, true, false]);
  assert.equal(own.continued(), false);
  assert.equal(own.answered('NO'), 'ours');
  assert.equal(own.answered('OK'), 'ours');
  assert.deepEqual([answers, own.pending, own.isTag(tag)], [['NO'], false, false]);
  own.begin('a1', true, (answer) => answers.push(answer));
  assert.equal(own.continued(), true);
  assert.equal(own.continued(), false);
  own.begin('a2', true, (answer) => answers.push(answer));
  assert.equal(own.answered('BAD'), 'client');
  assert.deepEqual(answers, ['NO', 'OK', 'BAD']);
});

test('the signal of a session is aborted at its end, whenever it was asked for', () => {
  const early = new Stop();
  const { signal } = early;
  assert.deepEqual([early.stopped, signal.aborted], [false, false]);
  early.stop();
  assert.deepEqual([early.stopped, signal.aborted, early.signal === signal], [true, true, true]);
  const late = new Stop();
  late.stop();
  assert.equal(late.signal.aborted, true);
});

test('whoever waits in a session goes on when something happens, when its time is over, or when the session is', async () => {
  const clock = new ManualClock();
  const stop = new Stop();
  const moments = new Moments(clock, stop);
  let ready = false;
  const until = moments.until(() => ready);
  const timed = moments.next(1_000);
  moments.happened();
  await timed;
  const later = moments.next(1_000);
  await clock.advance(1_000);
  await later;
  ready = true;
  moments.happened();
  await until;
  const over = assert.rejects(moments.next(), { code: 'gateway.provider-unreachable' });
  stop.stop();
  await over;
  await assert.rejects(moments.next(5), { code: 'gateway.provider-unreachable' });
});

test('only what is settled makes a session hopeless', () => {
  assert.equal(hopelessReason(new Hopeless('no way')), 'no way');
  assert.equal(hopelessReason(upstreamError('gateway.misconfigured', 'not set up')), 'not set up');
  assert.equal(hopelessReason(upstreamError('gateway.provider-unreachable', 'away')), undefined);
  assert.equal(hopelessReason(new Error('x')), undefined);
});

test('news of a mailbox waits in order, is muted whole, and a client that cannot be told is refused three times', () => {
  const heard: string[] = [];
  const mailbox = {
    unnumbered: false,
    exists: (count: number) => void heard.push(`exists ${count}`),
    expunge: (number: number) => void heard.push(`expunge ${number}`),
    vanished: (set: string) => void heard.push(`vanished ${set}`),
  } as unknown as Selecting;
  const news = new MailboxNews(mailbox);
  const idle = { asked: false, own: false };
  const asked = { asked: true, own: false };
  const numbered = (name: string, number: number) => ({ name, number }) as Parameters<MailboxNews['heard']>[1];
  assert.equal(news.heard('* 3 EXISTS', numbered('EXISTS', 3), idle), '* 3 EXISTS');
  assert.equal(news.heard('* 1 EXPUNGE', numbered('EXPUNGE', 1), asked), '* 1 EXPUNGE');
  assert.equal(news.heard('* 2 EXPUNGE', numbered('EXPUNGE', 2), idle), undefined);
  assert.equal(news.heard('* VANISHED 7', '7', idle), undefined);
  assert.equal(news.heard('* 4 EXISTS', numbered('EXISTS', 4), asked), undefined, 'behind what waits');
  assert.deepEqual(heard, ['exists 3', 'expunge 1', 'expunge 2', 'vanished 7', 'exists 4']);
  assert.deepEqual([news.waiting, news.watching], [true, true]);
  assert.deepEqual([news.refuse(), news.refuse(), news.refuse()], [true, true, false]);
  assert.deepEqual(news.take(), ['* 2 EXPUNGE', '* VANISHED 7', '* 4 EXISTS']);
  assert.deepEqual([news.take(), news.waiting, news.refuse()], [[], false, true]);
  news.keep(['* 9 EXISTS']);
  assert.deepEqual(news.take(), ['* 9 EXISTS']);
  news.mute();
  assert.equal(news.watching, true);
  assert.equal(news.heard('* 5 EXISTS', numbered('EXISTS', 5), asked), undefined);
  assert.deepEqual(news.unmute(), ['* 5 EXISTS']);
  assert.deepEqual([news.unmute(), news.watching, heard.length], [[], false, 5]);
});
