/** A mailbox as the API shows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import type { Mailbox } from '../store/types.ts';
import { shownMailbox, type SurveyedMailbox } from './shown-mailbox.ts';

test('A101: what is remembered of a failure is shown without paths of files', () => {
  const reason = "the assertion file '/srv/secret place/token' cannot be read";
  const mailbox: Mailbox = {
    address: 'a@x.test',
    grantId: 'g',
    access: 'own',
    protocols: ['imap'],
    settings: {},
    createdAt: 0,
    tried: { imap: { at: 0, failure: { code: 'oauth.misconfigured', reason } } },
  };
  const health = {
    type: 'at-risk',
    cause: 'renewal-failing',
    code: 'x',
    reason,
    at: 0,
    remedy: 'look',
    passing: false,
  };
  const surveyed = { health } as unknown as SurveyedMailbox['surveyed'];
  const shown = z.encode(shownMailbox, { mailbox, surveyed });
  assert.equal(shown.tried.imap?.failure?.reason, 'the assertion file cannot be read');
  assert.equal(shown.state.reason, 'the assertion file cannot be read');
  assert.doesNotMatch(JSON.stringify(shown), /srv/);
});
