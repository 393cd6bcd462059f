/** What the replies of one SMTP transaction mean for each recipient and for the message. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SmtpReply } from '../../protocol/smtp/send.ts';
import { outcomeOf, restOf } from './judge.ts';

const asked = { mailbox: { address: 'alice@contoso.test', access: 'own' }, from: 'alice@contoso.test' } as const;
const recipients = ['a@x.test', 'b@x.test'].map((address) => ({ address, state: 'pending' as const }));
const reply = (text: string): SmtpReply => ({
  code: Number(text.slice(0, 3)),
  enhanced: /\d\.\d+\.\d+/.exec(text)?.[0],
  text,
});

test('nobody is given up who may still get it: one recipient refused for good, another put off, then the message refused', () => {
  const outcome = outcomeOf(
    {
      type: 'refused',
      reply: reply('554 5.5.1 no valid recipients'),
      recipients: [reply('550 5.1.1 nobody here'), reply('450 4.2.1 busy')],
    },
    recipients,
    asked,
  );
  assert.equal(outcome.type, 'later');
});

test('where all were refused for good the message is refused, each by its own words', () => {
  const outcome = outcomeOf(
    {
      type: 'refused',
      reply: reply('554 5.5.1 no valid recipients'),
      recipients: [reply('550 5.1.1 nobody here'), reply('550 5.1.1 nor here')],
    },
    recipients,
    asked,
  );
  assert.ok(outcome.type === 'refused');
  assert.deepEqual(
    outcome.recipients.map((one) => [one.outcome, one.reply]),
    [
      ['refused', '550 5.1.1 nobody here'],
      ['refused', '550 5.1.1 nor here'],
    ],
  );
});

test('a mailbox that has reached its day rests, also where others of the same message were taken', () => {
  const full = reply('550 5.1.90 you have reached your daily limit for message recipients');
  const outcome = outcomeOf(
    { type: 'taken', reply: reply('250 2.0.0 ok'), recipients: [reply('250 2.1.5 ok'), full] },
    recipients,
    asked,
  );
  assert.ok(outcome.type === 'sent');
  assert.deepEqual([outcome.rest?.scope, outcome.rest?.row], ['mailbox', 'smtp.daily-quota']);
  assert.deepEqual(
    outcome.recipients.map((one) => one.outcome),
    ['delivered', 'later'],
  );
});

test('a shared mailbox that may not send as itself rests; another sender is the message’s own choice', () => {
  const refusal = { whose: 'sender', row: 'smtp.send-as', cause: 'c', remedy: 'r', againMs: 1 } as const;
  const scopeOf = (access: 'own' | 'shared', from: string): string | undefined =>
    restOf(refusal, { mailbox: { address: 'alice@contoso.test', access }, from })?.scope;
  assert.equal(scopeOf('shared', 'Alice@contoso.test'), 'mailbox');
  assert.equal(scopeOf('shared', 'info@contoso.test'), undefined);
  assert.equal(scopeOf('own', 'alice@contoso.test'), undefined);
});

test('a wait that a server names counts in its own unit', () => {
  const wait = (text: string): number | undefined => {
    const outcome = outcomeOf({ type: 'refused', reply: reply(text), recipients: [] }, recipients, asked);
    return 'retryAfterMs' in outcome ? outcome.retryAfterMs : undefined;
  };
  assert.equal(wait('451 4.3.2 try later; Retry-After: 90'), 90_000);
  assert.equal(wait('451 4.3.2 busy; Suggested Backoff Time: 271 milliseconds'), 271);
  assert.equal(wait('451 4.3.2 busy'), undefined);
});
