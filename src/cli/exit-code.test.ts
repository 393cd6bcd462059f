import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorTable } from '../base/error.ts';
import { errorFrom } from '../oauth/answer.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { builtIn } from '../oauth/catalogue/catalogue.ts';
import { diagnose } from '../oauth/catalogue/diagnose.ts';
import { deniedText } from '../upstream/explain.ts';
import { exitCodeOf, exitCodeOfKind } from './exit-code.ts';

const made = errorTable({ garbled: { 'wire.syntax': 'x' }, denied: { 'sasl.refused': 'x' } });

test('N17: exit status 76 is not for what passes by itself', () => {
  const passing = made('wire.syntax', 'a line that is no reply', { detail: { reply: 'Server Unavailable. 15' } });
  assert.equal(exitCodeOf(passing), 75);
  assert.equal(exitCodeOf(made('wire.syntax', 'a line that is no reply')), 76);
  assert.equal(exitCodeOfKind('garbled', 'the server recovers'), 75);
  assert.equal(exitCodeOfKind('denied', undefined), 77);
});

test('N17: no policy of an organisation is told as a consent that ended, and what ended is told as that', () => {
  const clock = new ManualClock();
  for (const row of builtIn().errors) {
    for (const match of row.match) {
      if (!('aadsts' in match) || (row.outcome !== 'admin' && row.outcome !== 'consent')) continue;
      const body = { error: 'invalid_grant', error_codes: [match.aadsts[0]], error_description: 'x' };
      const error = errorFrom({ status: 400, headers: {}, body }, clock);
      const text = deniedText(error.code, diagnose(error).id, 'a@x.test', row.cause);
      if (row.outcome === 'admin') assert.match(text, /^the organisation does not let a@x\.test in: /, row.id);
      assert.equal(
        /consent for a@x\.test has ended/.test(text),
        /grant-(?:revoked|inactive|malformed)$|single-page$/.test(row.id),
        row.id,
      );
      assert.ok(text.includes(row.cause));
    }
  }
});

test('N17: "the recipient does not exist" is never said of the mailbox itself', () => {
  const refused = made('sasl.refused', 'x', {
    detail: { reply: '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found' },
  });
  assert.match(diagnose(refused, { address: 'a@x.test' }).cause, /the account has no mailbox/);
  // What else is about recipients says nothing of the mailbox.
  const inside = made('sasl.refused', 'x', { detail: { reply: '550 5.5.105 External recipients are not allowed' } });
  assert.equal(diagnose(inside).id, 'smtp.internal-only');
});
