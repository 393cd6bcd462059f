/** Whose refusal it is: the whole table, row by row. A row that is added or changed has to be written here as well. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { builtIn } from './catalogue.ts';
import { evidenceIn } from './evidence.ts';
import { refusalOf } from './refusal.ts';

/** Row → whose refusal it is; after a slash: when it is the reply to RCPT. */
const WHOSE: Readonly<Record<string, string>> = {
  'smtp.auth-off-tenant': 'route',
  'smtp.auth-off-mailbox': 'route',
  'smtp.security-defaults': 'route',
  'smtp.criteria': 'route',
  'smtp.basic-ended': 'route',
  'smtp.not-authenticated': 'route',
  'smtp.sign-in-required': 'route',
  'smtp.sign-in-refused': 'route',
  'smtp.google-sign-in': 'route',
  'smtp.sign-in-later': 'route',
  'smtp.concurrent': 'mailbox',
  'smtp.rate': 'mailbox',
  'smtp.daily-quota': 'mailbox',
  'smtp.mailbox-full': 'mailbox/recipient',
  'smtp.send-as-denied': 'sender',
  'smtp.sender-blocked': 'mailbox',
  'smtp.domain-unregistered': 'tenant',
  'smtp.tenant-blocked': 'tenant',
  'smtp.tenant-external-quota': 'tenant',
  'smtp.onmicrosoft-quota': 'tenant',
  'smtp.internal-only': 'recipient',
  'smtp.recipient-unknown': 'recipient',
  'smtp.too-large': 'message',
  'smtp.relay-refused': 'route',
  'smtp.not-active': 'route',
  'smtp.resources': 'route',
  'graph.throttled': 'mailbox',
  'graph.unavailable': 'route',
  'graph.token': 'mailbox',
  'graph.access-denied': 'route',
  'graph.send-as-denied': 'sender',
  'graph.mailbox-missing': 'route',
  'graph.daily-quota': 'mailbox',
  'graph.sender-blocked': 'mailbox',
  'graph.mailbox-full': 'mailbox',
  'graph.too-large': 'message',
  'graph.recipients': 'message',
};

const { errors, sources } = builtIn();
const rows = errors.filter(({ match }) =>
  match.some((one) => 'graph' in one || ('reply' in one && one.reply.protocols.includes('smtp'))),
);

describe('L8: whose refusal it is', () => {
  test('every row about outgoing mail says it, and nothing else does', () => {
    assert.deepEqual(rows.map(({ id }) => id).toSorted(), Object.keys(WHOSE).toSorted());
    assert.deepEqual(
      errors.filter(({ refuses }) => refuses !== undefined).map(({ id }) => id),
      rows.map(({ id }) => id),
    );
  });

  for (const row of rows)
    test(row.id, () => {
      const [whose, toRecipient = whose] = WHOSE[row.id]!.split('/');
      assert.ok(row.sources.every((tag) => tag in sources));
      const examples = row.match.flatMap((one) =>
        'reply' in one ? one.reply.examples : 'graph' in one ? one.graph.codes : [],
      );
      assert.ok(examples.length > 0);
      for (const example of examples) {
        const evidence = evidenceIn(example);
        const refusal = refusalOf(evidence, { address: 'a@contoso.test' })!;
        assert.deepEqual([refusal.row, refusal.whose], [row.id, whose], example);
        assert.equal(refusalOf(evidence, {}, 'recipient')!.whose, toRecipient, example);
        if (whose === 'message' || whose === 'recipient') continue;
        assert.ok(refusal.againMs >= 30_000 && refusal.againMs <= 3_600_000);
        assert.ok(refusal.cause !== '' && refusal.remedy !== '');
      }
    });

  test('a daily quota passes within 24 hours', () => {
    for (const reply of [
      '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; x',
      '550 5.7.233 Your message can’t be sent because your tenant exceeded its daily limit',
      '550 5.7.232 trial tenant',
      '550 5.7.236 onmicrosoft.com',
    ])
      assert.equal(refusalOf(evidenceIn(reply))?.passesMs, 86_400_000, reply);
    assert.equal(refusalOf({ graph: 'ErrorExceededMessageLimit' })?.passesMs, 86_400_000);
  });

  test('a reply that is not in the table says nothing of the account', () => {
    for (const reply of ['550 5.7.1 rejected by policy', '554 5.6.0 malformed', '451 4.7.1 greylisted'])
      assert.equal(refusalOf(evidenceIn(reply)), undefined, reply);
  });
});
