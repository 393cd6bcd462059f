/** What the owner of a mailbox is told when signing in failed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oauthError } from '../oauth/errors.ts';
import type { Application } from '../store/types.ts';
import { explainFailure } from './consent-texts.ts';

const about = {
  address: 'alice@contoso.test',
  identity: 'alice@contoso.test',
  application: { name: 'work', provider: 'microsoft', clientId: 'c', settings: {} } as unknown as Application,
};

function titleFor(reason: string): string {
  const url = 'https://login.contoso.test/token';
  return explainFailure(oauthError('oauth.provider-unreachable', reason, { detail: { url, reason } }), about).title;
}

test('N10: an authority whose CA is unknown is for the operator, one that does not answer passes by itself', () => {
  assert.equal(
    titleFor('SELF_SIGNED_CERT_IN_CHAIN: self-signed certificate in certificate chain'),
    'This does not work yet',
  );
  assert.equal(titleFor('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), 'This does not work yet');
  assert.equal(titleFor('no answer within 30 s'), 'Not just now');
});
