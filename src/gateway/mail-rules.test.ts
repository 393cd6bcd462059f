/** As whom relayed mail may be sent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from '../../test/bed/kept-dialogue.ts';
import { mailRules } from './mail-rules.ts';

test('A64: another character is another sender, whatever it becomes in lower case', async (t) => {
  const kate = {
    address: 'kate@x.test',
    settings: {},
    grantId: 'g',
    access: 'own',
    protocols: ['smtp'],
    createdAt: 0,
  } as const;
  const smtp = scene(
    t,
    'smtp',
    mailRules(() => kate),
  );
  await smtp.say(`MAIL FROM:<${Buffer.from('\u212aate@x.test').toString('latin1')}>\r\nMAIL FROM:<KATE@x.test>\r\n`);
  assert.match(smtp.heard(), /^550 5\.7\.60 [^\r]*\r\n$/);
  assert.equal(smtp.servers[0]!.heard, 'MAIL FROM:<KATE@x.test>\r\n');
});
