/** Consent with a code that a person enters elsewhere. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { nullLog } from '../../src/base/log.ts';
import { connectMailbox } from '../../src/onboard/connect-mailbox.ts';
import { endSignIns } from '../../src/onboard/consent-link.ts';
import { pasteBack } from '../../src/onboard/paste-back.ts';
import { eventually } from '../bed/eventually.ts';
import { ManualClock } from '../bed/manual-clock.ts';
import { type Bed, openBed } from '../oauth/fixture.ts';

describe('consent by device code', () => {
  let bed: Bed;
  before(async () => {
    bed = await openBed();
  });
  after(() => bed.close());

  // RFC 8628 §3.2
  test('device code: the person enters the code elsewhere', async () => {
    const application = await bed.application();
    const clock = new ManualClock(Date.now());
    const shown: string[] = [];
    const approved = Promise.withResolvers<void>();
    const work = connectMailbox(
      { store: bed.store, vault: bed.vault, clock, log: nullLog },
      {
        application,
        address: 'alice@contoso.test',
        protocols: ['imap'],
        flow: 'device-code',
        device: (prompt) => {
          shown.push(prompt.message);
          bed.server.approveDevice(prompt.userCode).then(approved.resolve, approved.reject);
        },
      },
    );
    await eventually(() => shown.length === 1);
    // The first poll comes before the approval or is told to slow down; neither ends the flow.
    bed.server.failNext.push({ status: 400, body: { error: 'slow_down' } }, { status: 503 });
    await approved.promise;
    const done = work.then((result) => result.grant);
    let finished = false;
    void done.finally(() => (finished = true));
    await eventually(async () => {
      await patiently(clock);
      return finished;
    });
    assert.equal((await done).flow, 'device-code');
    assert.match(shown[0] ?? '', /enter the code/);
  });

  for (const [error, code] of [
    ['authorization_declined', 'oauth.consent-declined'],
    ['access_denied', 'oauth.consent-declined'],
    ['expired_token', 'oauth.consent-expired'],
  ] as const) {
    // RFC 8628 §3.5
    test(`device code ends at ${error}`, async () => {
      const clock = new ManualClock(Date.now());
      bed.server.failNext.push({ status: 400, body: { error } });
      let shown = false;
      const work = bedConnectDevice(clock, () => (shown = true));
      const outcome = assert.rejects(work, { code });
      await eventually(() => shown);
      await patiently(clock);
      await outcome;
    });
  }

  test('device code stops when told to', async () => {
    const clock = new ManualClock(Date.now());
    const stop = new AbortController();
    let shown = false;
    const work = bedConnectDevice(clock, () => (shown = true), stop.signal);
    const outcome = assert.rejects(work, /enough/);
    await eventually(() => shown);
    stop.abort(new Error('enough'));
    await outcome;
  });

  test('A86: a device code, or an address that is pasted, opens no mailbox that was opened and removed meanwhile', async () => {
    const application = await bed.application();
    const { store } = bed;
    const openAndRemove = async (address: string): Promise<void> => {
      const { mailbox } = await bed.connect({ application, address, sharedWith: 'alice@contoso.test' });
      await endSignIns({ store }, address);
      await store.mailboxes.remove(mailbox.address);
    };
    const common = { application, sharedWith: 'alice@contoso.test', protocols: ['imap'] as const };
    // Both were begun while there was no such mailbox, and there is none when they end.
    const pasted = 'pasted@contoso.test';
    const redirect = pasteBack({
      redirectUri: 'http://localhost/',
      async ask(url) {
        const answer = await bed.server.approve(url);
        await openAndRemove(pasted);
        return answer.href;
      },
    });
    await assert.rejects(bed.connect({ ...common, address: pasted, redirect }), { code: 'oauth.superseded' });
    const typed = 'typed@contoso.test';
    const clock = new ManualClock(Date.now());
    const approved = Promise.withResolvers<void>();
    const work = connectMailbox(
      { store, vault: bed.vault, clock, log: nullLog },
      {
        ...common,
        address: typed,
        flow: 'device-code',
        device: ({ userCode }) =>
          void openAndRemove(typed)
            .then(() => bed.server.approveDevice(userCode))
            .then(approved.resolve, approved.reject),
      },
    );
    let finished = false;
    const outcome = assert.rejects(work, { code: 'oauth.superseded' }).finally(() => (finished = true));
    await approved.promise;
    await eventually(async () => {
      await patiently(clock);
      return finished;
    });
    await outcome;
    for (const address of [pasted, typed]) assert.equal(await store.mailboxes.find(address), undefined);
  });

  async function bedConnectDevice(clock: ManualClock, device: () => void, signal?: AbortSignal): Promise<unknown> {
    const application = await bed.application();
    return connectMailbox(
      { store: bed.store, vault: bed.vault, clock, log: nullLog },
      {
        application,
        address: 'alice@contoso.test',
        protocols: ['imap'],
        flow: 'device-code',
        device,
        ...(signal ? { signal } : {}),
      },
    );
  }
});

/**
 * Lets five seconds of the flow pass, and a moment of ours with them: while a request is under way nobody waits for the
 * clock, and an hour of it would be the end of every token.
 */
async function patiently(clock: ManualClock): Promise<void> {
  await delay(10);
  await clock.advance(5000);
}
