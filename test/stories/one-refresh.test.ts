/** Two worker processes and their primary on one home, twenty programs at once, an expired token: the provider sees one refresh. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createHome } from '../bed/installation.ts';
import { ALICE, startMailSite } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { Wire } from '../bed/wire.ts';

/** Seconds: over before anybody signs in. */
const TOO_SHORT = 1;

test(
  'two processes and twenty sign-ins on an expired token make one refresh',
  { skip: without('dovecot-imapd', 'postfix') },
  async (t) => {
    const site = await startMailSite('jwt');
    t.after(site.stop);
    site.authority.ttl = TOO_SHORT;
    const home = await createHome(site);
    t.after(home.remove);
    site.authority.ttl = 3600;
    await delay(TOO_SHORT * 1000);
    const refreshes = (): number =>
      site.authority.requests.filter((request) => request.grantType === 'refresh_token').length;
    assert.equal(refreshes(), 0, 'nothing was refreshed before anybody came');
    // The answer is held back until everybody waits, so that nobody comes late to a token that is there already. The duty of
    // renewal, which the primary has, asks as well as the programs.
    const everybody = Promise.withResolvers<void>();
    site.authority.beforeAnswer = () => everybody.promise;
    const serving = await home.serve({ POSTERN_WORKERS: '2' });
    try {
      const sessions = Array.from({ length: 20 }, async () => {
        const wire = await Wire.open(serving.door.imap);
        await wire.until(/^\* OK .*\r\n/);
        wire.send(`a1 LOGIN ${ALICE} ${home.password}\r\n`);
        return wire;
      });
      const wires = await Promise.all(sessions);
      everybody.resolve();
      const answers = await Promise.all(wires.map((wire) => wire.until(/^a1 .*\r\n/m)));
      for (const wire of wires) wire.destroy();
      assert.deepEqual(
        answers.filter((answer) => !/^a1 OK /m.test(answer)),
        [],
      );
      assert.equal(refreshes(), 1);
    } finally {
      await serving.stop();
    }
  },
);
