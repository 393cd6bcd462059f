/** A report is put into the inbox once, whatever was there before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openImapPair } from '../../../test/bed/imap-pair.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { jobOf, letter, openOutboxBed } from '../../../test/bed/outbox.ts';
import { InboxRoute } from './inbox-route.ts';

// RFC 9051 §6.4.4
test('a report is there when a message has its very Message-ID, not when one has an id that contains it', async (t) => {
  const bed = await openOutboxBed();
  t.after(bed.close);
  const { message } = await bed.outbox.accept(bed.request(), letter());
  const id = message.messageId.slice(1, -1);
  for (const [there, after] of [
    [`<x.${id}>`, 2],
    [`<${id}>`, 1],
  ] as const) {
    using pair = await openImapPair();
    pair.mailbox.inbox.add(Buffer.from(`Message-ID: ${there}\r\n\r\nx\r\n`), 0);
    const session = { conn: pair.conn, capabilities: [], expiresAt: Infinity, endpoint: { host: 'h' } };
    const route = new InboxRoute(() => Promise.resolve(session), new ManualClock());
    const outcome = await route.send(jobOf({ outbox: bed.outbox }, message, bed.mailbox), AbortSignal.timeout(5000));
    assert.equal(outcome.type, 'sent');
    assert.equal(pair.mailbox.inbox.messages.length, after, there);
  }
});
