/** kill -9 while mail is accepted and delivered: a bounded sample; `npm run soak` runs the long sweeps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { without } from '../bed/need.ts';
import { sweepPostfix, sweepSandbox } from '../bed/outbox-sites.ts';

const KILLS = 3;

test(
  'a real Postfix behind: nothing acknowledged is lost',
  { skip: without('dovecot-imapd', 'postfix'), timeout: 240_000 },
  async () => {
    const { acknowledged, duplicates } = await sweepPostfix({ kills: KILLS, database: 'sqlite' });
    assert.ok(acknowledged > KILLS, `${acknowledged} messages were acknowledged`);
    // Postfix keeps no sent mail, so what was under way at a kill may arrive twice; two connections, so two at a time and a batch.
    assert.ok(duplicates <= acknowledged / 4, `${duplicates} duplicates of ${acknowledged}`);
  },
);

test(
  'a provider that keeps its sent mail behind: nothing is lost, and nothing arrives twice',
  { timeout: 240_000 },
  async () => {
    const { acknowledged, duplicates } = await sweepSandbox({ kills: KILLS, database: 'sqlite' });
    assert.ok(acknowledged > KILLS, `${acknowledged} messages were acknowledged`);
    assert.equal(duplicates, 0);
  },
);
