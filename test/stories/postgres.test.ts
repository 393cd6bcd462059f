/** Two gateway processes that share one PostgreSQL: the same mailboxes, passwords and tokens, one refresh, one audit chain. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createHome } from '../bed/installation.ts';
import { ALICE, startMailSite } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { startPostgres } from '../bed/postgres.ts';
import { Wire } from '../bed/wire.ts';

/** Seconds: over before anybody signs in. */
const TOO_SHORT = 1;

async function signIn(door: { readonly imap: { readonly host: string; readonly port: number } }, password: string) {
  const wire = await Wire.open(door.imap);
  await wire.until(/^\* OK .*\r\n/);
  wire.send(`a1 LOGIN ${ALICE} ${password}\r\n`);
  const answer = /^a1 .*/m.exec(await wire.until(/^a1 .*\r\n/m))![0];
  return { wire, answer };
}

test('two processes on one PostgreSQL', { skip: without('dovecot-imapd', 'postfix', 'postgresql') }, async (t) => {
  const site = await startMailSite('jwt');
  const postgres = await startPostgres();
  site.authority.ttl = TOO_SHORT;
  const home = await createHome(site, { env: { POSTERN_DATABASE_URL: postgres.url } });
  // Before anybody serves: the duty of renewal, which both processes have, would get another token that is over at once.
  site.authority.ttl = 3600;
  await delay(TOO_SHORT * 1000);
  const [first, second] = await Promise.all([home.serve(), home.serve()]);
  try {
    await t.test('an expired token is refreshed once for both', async () => {
      const sessions = await Promise.all(
        Array.from({ length: 12 }, (_, index) => signIn([first, second][index % 2]!.door, home.password)),
      );
      for (const { wire, answer } of sessions) {
        assert.match(answer, /^a1 OK /);
        wire.destroy();
      }
      assert.equal(site.authority.requests.filter(({ grantType }) => grantType === 'refresh_token').length, 1);
    });

    await t.test('a password made here opens there, and is cut there when it is revoked here', async () => {
      const args = ['--mailbox', ALICE, '--label', 'second', '--json'];
      const added = JSON.parse((await home.cli(['password', 'add', ...args])).stdout.toString()) as {
        id: string;
        password: string;
      };
      const { wire, answer } = await signIn(second.door, added.password);
      assert.match(answer, /^a1 OK /);
      await home.cli(['password', 'revoke', added.id]);
      await wire.closed();
      assert.match((await signIn(first.door, added.password)).answer, /^a1 NO \[AUTHENTICATIONFAILED\]/);
    });

    await t.test('when the database is away sign-ins say that it passes, and it does', async () => {
      await postgres.kill();
      const during = await signIn(first.door, 'a-password-nobody-has-seen-yet');
      assert.match(during.answer, /^a1 NO \[UNAVAILABLE\]/);
      during.wire.destroy();
      await postgres.start();
      let afterwards = '';
      for (const end = performance.now() + 20_000; performance.now() < end && !afterwards.startsWith('a1 OK');) {
        const { wire, answer } = await signIn(second.door, home.password);
        wire.destroy();
        afterwards = answer;
        if (!answer.startsWith('a1 OK')) await delay(200);
      }
      assert.match(afterwards, /^a1 OK /);
    });

    await t.test('L24: the rate of an API key is one for both', async () => {
      const args = ['--allow', 'messages:read', '--mailbox', ALICE, '--label', 'rated', '--rate', '30', '--json'];
      const { key } = JSON.parse((await home.cli(['apikey', 'add', ...args])).stdout.toString()) as { key: string };
      const begun = performance.now();
      let passed = 0;
      for (let at = 0; at < 120; at++) {
        const { api } = [first, second][at % 2]!;
        const { status } = await fetch(`${api}/v1/messages`, { headers: { authorization: `Bearer ${key}` } });
        assert.ok(status === 200 || status === 429, String(status));
        if (status === 200) passed += 1;
      }
      const most = 30 + Math.ceil((performance.now() - begun) / 2000);
      assert.ok(passed >= 30 && passed <= most, `${passed} of at most ${most}`);
    });

    await t.test('W8: wrong passwords are counted for both', async () => {
      const answers: string[] = [];
      for (let at = 0; at < 8; at++) {
        const { wire, answer } = await signIn([first, second][at % 2]!.door, `wrong-password-${at}`);
        wire.destroy();
        answers.push(/\[(\w+)\]/.exec(answer)![1]!);
      }
      // Five are free, and who came here before may have used some; each process alone would slow none of its four.
      assert.deepEqual(answers.slice(5), ['LIMIT', 'LIMIT', 'LIMIT']);
      assert.equal(answers[0], 'AUTHENTICATIONFAILED');
    });

    await t.test('one audit chain of both processes is whole', async () => {
      const { stdout } = await home.cli(['audit', 'verify', '--json']);
      assert.equal((JSON.parse(stdout.toString()) as { type: string }).type, 'intact');
    });
  } finally {
    await Promise.all([first.stop(), second.stop()]);
    home.remove();
    await postgres.stop();
    await site.stop();
  }
});
