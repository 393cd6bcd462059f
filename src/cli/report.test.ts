/** What `postern check` prints of many mailboxes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckReport, Finding } from '../check/types.ts';
import { reportOf } from '../check/step.ts';
import { conclusion, overview } from './report.ts';

const step = (title: string, outcome: Finding['outcome']): Finding => ({
  step: title,
  title,
  outcome,
  says: `${title} says so`,
  facts: {},
  milliseconds: 1,
});
const report = (
  subject: CheckReport['subject'],
  outcome: CheckReport['outcome'],
  ...wrong: Finding[]
): CheckReport => ({
  subject,
  format: 1,
  at: '2026-11-30T00:00:00.000Z',
  outcome,
  findings: [...Array.from({ length: 20 }, (_, index) => step(`step ${index}`, 'ok')), ...wrong],
  ...(wrong.length === 0
    ? {}
    : {
        first: {
          step: wrong[0]!.step,
          sentence: 'The consent has ended.',
          blame: 'user' as const,
          remedy: [{ do: 'sign in again', run: 'postern mailbox reconsent x@y.test' }],
        },
      }),
});

test('N13: of a hundred mailboxes the summary comes first, then only what is wrong', () => {
  const mailboxes = Array.from({ length: 100 }, (_, index) => {
    const subject = { type: 'mailbox' as const, address: `m${index}@example.com` };
    return index === 7 ? report(subject, 'failed', step('token', 'failed')) : report(subject, 'ok');
  });
  const lines = overview([report({ type: 'installation', home: '/home' }, 'ok'), ...mailboxes]);
  assert.equal(lines[0], 'The installation works.');
  assert.equal(lines[1], 'Of 100 mailboxes 99 work, 1 does not work.');
  assert.ok(lines.length < 15, lines.join('\n'));
  const text = lines.join('\n');
  assert.match(text, /m7@example\.com\n.*failed.*token/);
  assert.match(text, /postern mailbox reconsent x@y\.test/);
  assert.doesNotMatch(text, /step 3|m8@/);
});

test('N13: nothing wrong is three lines', () => {
  const lines = overview([report({ type: 'installation', home: '/home' }, 'ok')]);
  assert.deepEqual(lines.slice(0, 2), ['The installation works.', 'There are no mailboxes.']);
});

test('P27: where the database does not open nobody says that there are no mailboxes', () => {
  const lines = overview([report({ type: 'installation', home: '/home' }, 'failed', step('home.database', 'failed'))]);
  assert.match(lines[0]!, /^Which mailboxes there are cannot be read/);
  assert.doesNotMatch(lines.join('\n'), /There are no mailboxes/);
});

test('P46: what could not be tried is not counted as working, and one mailbox is one', () => {
  const whole = report({ type: 'mailbox', address: '*@example.com' }, 'ok', step('sign-in', 'skipped'));
  const { first: _, ...wildcard } = whole;
  assert.deepEqual(conclusion(wildcard), ['What was looked at works: 20 steps. Not tried: sign-in.']);
  assert.equal(overview([wildcard])[0], 'Of 1 mailbox 0 work, 1 works as far as could be tried (no sign-in).');
  const works = report({ type: 'mailbox', address: 'a@example.com' }, 'ok');
  assert.equal(overview([works])[0], 'Of 1 mailbox 1 works.');
});

test('P46: every warning of an installation is explained, not the first alone', () => {
  const clock: Finding = {
    ...step('home.clock', 'warning'),
    diagnosis: {
      id: 'home.clock',
      cause: 'records are dated in the future',
      blame: 'operator',
      remedy: [{ do: 'set the clock', run: 'timedatectl' }],
      sources: [],
    },
  };
  const text = conclusion(
    report({ type: 'installation', home: '/home' }, 'warnings', step('home.disk', 'warning'), clock),
  ).join('\n');
  assert.match(
    text,
    /The consent has ended\.[^]*Records are dated in the future\.\n {2}who {5}whoever runs Postern\n {2}next {4}set the clock: timedatectl/,
  );
});

test('P55: of several failures each cause is told with what to do, and each once', () => {
  const failed = (title: string, cause: string, run: string): Finding => ({
    ...step(title, 'failed'),
    diagnosis: { id: title, cause, blame: 'admin', remedy: [{ do: 'do this', run }], sources: [] },
  });
  const text = conclusion(
    report(
      { type: 'mailbox', address: 'x@y.test' },
      'failed',
      failed('token', 'the consent has ended', 'postern mailbox reconsent x@y.test'),
      failed('pop3.sign-in', 'the consent has ended', 'postern mailbox reconsent x@y.test'),
      failed('smtp.sign-in', 'SMTP AUTH is off', 'Set-CASMailbox x@y.test'),
      failed('imap.sign-in', 'SMTP AUTH is off', 'Set-CASMailbox x@y.test'),
    ),
  ).join('\n');
  assert.equal(text.match(/The consent has ended/g)?.length, 1);
  assert.equal(text.match(/SMTP AUTH is off/g)?.length, 1);
  assert.match(text, /next {4}do this: Set-CASMailbox x@y\.test/);
});

test('P85: mailboxes that fail for one cause are one block, whatever their number; others stay apart', () => {
  const closed = (address: string, why = 'the application may not open this mailbox'): CheckReport => {
    const finding: Finding = {
      ...step('imap.command', 'failed'),
      says: `imap.x.test does not open ${address}, session ${Math.random()}`,
      diagnosis: {
        id: 'imap.not-connected',
        cause: why,
        blame: 'admin',
        remedy: [{ do: 'let it', run: `Add-MailboxPermission -Identity ${address} -User 4711` }],
        sources: [],
      },
    };
    return reportOf({ type: 'mailbox', address }, [step('token', 'ok'), finding], 0);
  };
  const bad = Array.from({ length: 61 }, (_, index) => closed(`m${index}@example.com`));
  const other = closed('z@example.com', 'IMAP is switched off');
  const lines = overview([report({ type: 'installation', home: '/home' }, 'ok'), ...bad, other]);
  const text = lines.join('\n');
  assert.ok(lines.length < 22, text);
  assert.match(text, /^Of 62 mailboxes 0 work, 62 do not work\.$/m);
  assert.match(
    text,
    /^61 mailboxes alike; ADDRESS stands for each\n {2}m0@\S+, m1@\S+, m2@\S+, m3@\S+, m4@example\.com, and 56 more: postern mailbox list$/m,
  );
  assert.equal(text.match(/The application may not open this mailbox\./g)?.length, 1);
  assert.match(text, /next {4}let it: Add-MailboxPermission -Identity ADDRESS -User 4711$/m);
  assert.match(text, /^z@example\.com\n.*\nIMAP is switched off\.$/m);
  assert.match(text, /-Identity z@example\.com /);
});

test('P85: an address inside another word is not taken for the mailbox', () => {
  const shared = (address: string): CheckReport =>
    reportOf(
      { type: 'mailbox', address },
      [
        {
          ...step('token', 'failed'),
          diagnosis: {
            id: 'x',
            cause: `ba@x.test and a@x.test.org and '${address}' are three`,
            blame: 'user',
            remedy: [],
            sources: [],
          },
        },
      ],
      0,
    );
  assert.match(
    overview([shared('a@x.test'), shared('b@x.test')]).join('\n'),
    /^ba@x\.test and a@x\.test\.org and 'ADDRESS' are three/m,
  );
});
