/** Acceptance: what is taken is kept whole, and what is wrong is not taken. */
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { letter, octetsOf, openOutboxBed, type OutboxBed } from '../../test/bed/outbox.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError } from '../base/error.ts';
import { CHUNK_OCTETS } from './body.ts';
import { isAddress, sameAddress } from './address.ts';
import { MAX_HEADER } from '../protocol/mime/header-fields.ts';
import { Rights } from './rights.ts';
import { editMailbox } from '../store/edit.ts';

const writer = { principal: 'key_2', source: 'http' } as const;
const code = (expected: string) => (error: unknown) => isError(error, expected);

describe('acceptance', () => {
  const clock = new ManualClock();
  let bed: OutboxBed;
  before(async () => {
    bed = await openOutboxBed({
      clock,
      suppressed: async (addresses) =>
        new Map(addresses.filter((one) => one.startsWith('gone@')).map((one) => [one, 'it bounced'])),
    });
  });
  after(() => bed.close());
  const accept = (text: string | Uint8Array[], change = {}) =>
    bed.outbox.accept(bed.request(change), typeof text === 'string' ? letter(text) : text);

  // RFC 5322 §3.3
  test('a message is kept octet for octet; From, Message-ID and Date are added only where they are missing', async () => {
    const whole =
      'From: Alice <alice@contoso.test>\nMessage-ID: <1@x>\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nX-Long: a\n b\n\nbody\n.\n';
    const { message, replayed } = await accept(whole);
    assert.equal(replayed, false);
    assert.equal(message.messageId, '<1@x>');
    assert.equal((await octetsOf(bed.outbox.body(message))).toString(), whole.replaceAll('\n', '\r\n'));
    assert.equal(message.size, whole.replaceAll('\n', '\r\n').length);
    const bare = (await accept('Subject: x\n\nbody\n')).message;
    const text = (await octetsOf(bed.outbox.body(bare))).toString();
    assert.match(
      text,
      /^Subject: x\r\nFrom: alice@contoso\.test\r\nMessage-ID: <[0-9a-f-]{36}@contoso\.test>\r\nDate: \w{3}, \d\d \w{3} 2026 .* \+0000\r\n\r\nbody\r\n$/,
    );
    assert.ok(text.includes(bare.messageId));
    assert.deepEqual((await bed.outbox.find(bare.id))!.recipients, [{ address: 'bob@contoso.test', state: 'pending' }]);
  });

  test('however the octets are cut and however long they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0, 1, 70, CHUNK_OCTETS - 60, CHUNK_OCTETS, CHUNK_OCTETS + 1, 3 * CHUNK_OCTETS),
        fc.array(fc.integer({ min: 1, max: 90_000 }), { maxLength: 12 }),
        async (length, cuts) => {
          const whole = Buffer.concat([
            Buffer.from('From: alice@contoso.test\r\nMessage-ID: <a@b>\r\nDate: x\r\n\r\n'),
            Buffer.from(randomBytes(length).map((octet) => ([0, 10, 13].includes(octet) ? 32 : octet))),
          ]);
          const pieces: Buffer[] = [];
          let at = 0;
          for (const cut of cuts) pieces.push(whole.subarray(at, (at += cut)));
          pieces.push(whole.subarray(at));
          const { message } = await bed.outbox.accept(bed.request(), pieces);
          assert.ok((await octetsOf(bed.outbox.body(message))).equals(whole));
          assert.equal(message.size, whole.length);
        },
      ),
      { numRuns: 30 },
    );
  });

  // RFC 3461 §4.1, §4.2
  test('what a program asks to hear of a recipient is kept', async () => {
    const recipient = { address: 'bob@x.test', notify: ['never'], orcpt: 'rfc822;robert@y.test' } as const;
    const envelope = { from: bed.mailbox.address, recipients: [recipient, { address: 'eve@x.test' }] };
    const { id } = (await accept('A: b\n\n', { envelope })).message;
    assert.deepEqual((await bed.outbox.find(id))!.recipients, [
      { ...recipient, state: 'pending' },
      { address: 'eve@x.test', state: 'pending' },
    ]);
  });

  test('what is at rest cannot be read', async () => {
    const { message } = await accept('Subject: secret-subject\n\nsecret-body\n');
    const sealed = Buffer.from((await bed.store.outbox.chunk(message.bodyId, 0))!);
    assert.ok(!sealed.includes('secret'));
    const row = JSON.stringify(await bed.store.outbox.find(message.id));
    assert.ok(!row.includes('secret'));
  });

  test('a message without an empty line, an empty message', async () => {
    assert.match(
      (await octetsOf(bed.outbox.body((await accept('Subject: x')).message))).toString(),
      /^Subject: x\r\nFrom: alice@contoso\.test\r\nMessage-ID/,
    );
    const { message } = await accept([]);
    assert.match(
      (await octetsOf(bed.outbox.body(message))).toString(),
      /^From: .*\r\nMessage-ID: .*\r\nDate: .*\r\n\r\n$/,
    );
  });

  test('Bcc goes only when asked, Idempotency-Key always', async () => {
    const text = 'Bcc: hidden@x.test,\n more@x.test\nIdempotency-Key: k1\nMessage-ID: <1@x>\nDate: x\n\n';
    const kept = (await accept(text)).message;
    assert.equal((await octetsOf(bed.outbox.body(kept))).toString().includes('Idempotency'), false);
    assert.ok((await octetsOf(bed.outbox.body(kept))).includes('hidden'));
    const dropped = (await accept(text.replace('k1', 'k2'), { dropBcc: true })).message;
    assert.equal(
      (await octetsOf(bed.outbox.body(dropped))).toString(),
      'Message-ID: <1@x>\r\nDate: x\r\nFrom: alice@contoso.test\r\n\r\n',
    );
  });

  test('idempotency: the same message again, another one, one at the same time, a day later', async () => {
    const change = { idempotencyKey: 'order-1' };
    const first = await accept('Subject: a\n\n', change);
    const again = await accept('Subject: a\n\n', change);
    assert.deepEqual([again.replayed, again.message.id], [true, first.message.id]);
    await assert.rejects(accept('Subject: b\n\n', change), code('outbox.idempotency-mismatch'));
    const other = { envelope: { from: bed.mailbox.address, recipients: [{ address: 'eve@x.test' }] } };
    await assert.rejects(accept('Subject: a\n\n', { ...change, ...other }), code('outbox.idempotency-mismatch'));
    assert.equal((await accept('Subject: b\n\n', { ...change, principal: 'apw_2' })).replayed, false);
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = bed.outbox.accept(
      bed.request({ idempotencyKey: 'slow' }),
      (async function* () {
        yield* letter();
        await promise;
      })(),
    );
    await new Promise((turn) => setImmediate(turn));
    await assert.rejects(accept('Subject: a\n\n', { idempotencyKey: 'slow' }), code('outbox.idempotency-busy'));
    resolve();
    await slow;
    await clock.advance(86_400_000);
    assert.notEqual((await accept('Subject: b\n\n', change)).message.id, first.message.id);
  });

  test('what is wrong is refused by name, and nothing is left of it', async () => {
    const before = await bed.outbox.stats();
    const to = (address: string) => ({ envelope: { from: bed.mailbox.address, recipients: [{ address }] } });
    for (const bad of [
      '',
      'bob',
      '@x.test',
      'a b@x.test',
      'a@x.test\r\nRCPT TO:<eve@x>',
      'a@-x.test',
      'a@x..y',
      `${'a'.repeat(250)}@x.test`,
    ])
      await assert.rejects(accept('Subject: a\n\n', to(bad)), code('outbox.address'), bad);
    await assert.rejects(
      accept('a\n\n', { envelope: { from: 'eve@x.test', recipients: [{ address: 'b@x.test' }] } }),
      code('outbox.sender'),
    );
    await assert.rejects(
      accept('a: b\n\n', { envelope: { from: bed.mailbox.address, recipients: [] } }),
      code('outbox.no-recipients'),
    );
    await assert.rejects(accept('a: b\n\n', to('gone@x.test')), code('outbox.suppressed'));
    await assert.rejects(accept('no header\n\n'), code('outbox.header'));
    await assert.rejects(accept([Buffer.from('A: b\rC: d\r\n\r\n')]), code('outbox.bare-newline'));
    await assert.rejects(accept([Buffer.from('A: b\r\n\r\nx\n.\r\n')]), code('outbox.bare-newline'));
    await assert.rejects(accept([Buffer.from('A: b\r\n\r\nx\r'), Buffer.from('y')]), code('outbox.bare-newline'));
    await assert.rejects(accept([Buffer.alloc(MAX_HEADER + 1, 'a')]), code('outbox.header'));
    await assert.rejects(accept('a: b\n\n', { idempotencyKey: 'x'.repeat(300) }), code('outbox.header'));
    const broken = (async function* () {
      yield* letter();
      throw new Error('stop');
    })();
    await assert.rejects(bed.outbox.accept(bed.request(), broken), /stop/);
    assert.deepEqual(await bed.outbox.stats(), before);
  });

  test('A62: a message that is too large is refused while it arrives; it, and one that is known already, leave no octets', async () => {
    const small = await openOutboxBed({ clock, maxOctets: 2 * CHUNK_OCTETS });
    const pieces = Array.from({ length: 5 }, () => Buffer.alloc(CHUNK_OCTETS, 'x'));
    pieces.unshift(Buffer.from('A: b\r\n\r\n'));
    await assert.rejects(small.outbox.accept(small.request(), pieces), code('outbox.too-large'));
    const known = small.request({ idempotencyKey: 'long' });
    const first = await small.outbox.accept(known, [Buffer.from(`A: b\r\n\r\n${'x'.repeat(CHUNK_OCTETS + 9)}\r\n`)]);
    const again = await small.outbox.accept(known, [Buffer.from(`A: b\r\n\r\n${'x'.repeat(CHUNK_OCTETS + 9)}\r\n`)]);
    assert.deepEqual([again.replayed, again.message.id], [true, first.message.id]);
    assert.equal((await octetsOf(small.outbox.body(first.message))).length, first.message.size);
    await clock.advance(7 * 3_600_000);
    assert.deepEqual(await small.outbox.tidy(), { orphans: 0, forgotten: 0 });
    await small.close();
  });

  test('K43: an edit that is refused leaves no octets, whether it came too late or its octets are wrong', async () => {
    const small = await openOutboxBed({ clock, maxOctets: 4 * CHUNK_OCTETS });
    const { message } = await small.outbox.accept(small.request(), [Buffer.from('A: b\r\n\r\nx\r\n')]);
    const text = (octets: number) => [
      Buffer.from('A: b\r\n\r\n'),
      ...Array.from({ length: octets / CHUNK_OCTETS }, () => Buffer.alloc(CHUNK_OCTETS, 'x')),
    ];
    await assert.rejects(
      small.outbox.edit(message.id, 'me', { content: { writer, body: text(6 * CHUNK_OCTETS) } }),
      code('outbox.too-large'),
    );
    const edited = await small.outbox.edit(message.id, 'me', { content: { writer, body: text(3 * CHUNK_OCTETS) } });
    await small.outbox.cancel(message.id, 'me');
    let read = 0;
    async function* counted(): AsyncGenerator<Uint8Array, void, void> {
      for (const piece of text(3 * CHUNK_OCTETS)) {
        read += piece.length;
        yield await Promise.resolve(piece);
      }
    }
    await assert.rejects(
      small.outbox.edit(message.id, 'me', { content: { writer, body: counted() } }),
      code('outbox.too-late'),
    );
    assert.equal(read, 0, 'nothing was taken for a message that is over');
    assert.equal((await octetsOf(small.outbox.body(edited))).length, edited.size);
    await clock.advance(7 * 3_600_000);
    assert.equal((await small.outbox.tidy()).orphans, 0);
    await small.close();
  });

  test('declared senders may be used, reports have none', async () => {
    const mailbox = await bed.addMailbox('sales@contoso.test', { sendAs: ['Info@contoso.test'] });
    const recipients = [{ address: 'bob@contoso.test' }];
    await accept('a: b\n\n', { mailbox, envelope: { from: 'info@contoso.test', recipients } });
    await accept('Auto-Submitted: auto-replied\n\n', { mailbox, envelope: { from: '', recipients } });
  });

  test('A34: holding a mailbox does not bring back a sender that is withdrawn at the same moment', async () => {
    const { store } = bed;
    const { address } = (await store.mailboxes.list())[0]!;
    const { settings } = (await store.mailboxes.find(address))!;
    for (let n = 0; n < 20; n++) {
      await editMailbox(store, address, (now) => ({ ...now, sendAs: ['alias@contoso.test'] }));
      await Promise.all([
        bed.outbox.holdMailbox(address, 'key_1', 'x'),
        editMailbox(store, address, (now) => ({ ...now, sendAs: [] })),
        bed.outbox.releaseMailbox(address),
      ]);
      assert.deepEqual((await store.mailboxes.find(address))!.settings['sendAs'], [], `round ${n}`);
    }
    await editMailbox(store, address, () => settings);
  });

  test('a mailbox is closed with its grant', async () => {
    const { grants, mailboxes } = bed.store;
    const mailbox = (await mailboxes.find('alice@contoso.test'))!;
    const { generation, state } = (await grants.find(mailbox.grantId))!;
    const rights = new Rights({ store: bed.store, clock });
    await rights.requireOpen(mailbox);
    const suspended = { type: 'suspended', since: 0, reason: 'on leave' } as const;
    assert.ok(await grants.update(mailbox.grantId, generation, { state: suspended }));
    await assert.rejects(new Rights({ store: bed.store, clock }).requireOpen(mailbox), code('oauth.suspended'));
    rights.stop();
    await grants.update(mailbox.grantId, generation + 1, { state });
  });

  test('hold, release, edit, cancel; too late is said', async () => {
    const { message } = await accept('Subject: a\n\nold\n');
    assert.equal((await bed.outbox.hold(message.id, 'me', 'wait')).state.type, 'held');
    assert.equal((await bed.outbox.retry(message.id, 'me')).state.type, 'queued');
    assert.equal(message.notBefore, undefined, 'nobody asked for a time');
    assert.equal(
      (await accept('Subject: b\n\nx\n', { notBefore: clock.now() + 1 })).message.notBefore,
      clock.now() + 1,
    );
    const notBefore = clock.now() + 5000;
    const edited = await bed.outbox.edit(message.id, 'me', {
      notBefore,
      lane: 'urgent',
      content: {
        writer,
        recipients: [{ address: 'carol@contoso.test' }],
        body: letter('Message-ID: <2@x>\nDate: x\n\nnew\n'),
      },
    });
    assert.deepEqual([edited.principal, edited.source, edited.remoteAddress], ['key_2', 'http', undefined]);
    assert.deepEqual(edited.state, { type: 'queued', nextAt: notBefore });
    assert.deepEqual(
      [edited.lane, edited.messageId, edited.recipients[0]!.address],
      ['urgent', '<2@x>', 'carol@contoso.test'],
    );
    assert.match((await octetsOf(bed.outbox.body(edited))).toString(), /new\r\n$/);
    await bed.outbox.cancel(message.id, 'me');
    await assert.rejects(bed.outbox.retry(message.id, 'me'), code('outbox.too-late'));
    await assert.rejects(bed.outbox.cancel('msg_none', 'me'), code('outbox.not-found'));
    const story = await bed.outbox.events({ messageId: message.id, limit: 10 });
    assert.deepEqual(
      story.map(({ type }) => type),
      ['accepted', 'held', 'released', 'edited', 'cancelled'],
    );
    await bed.outbox.holdMailbox('alice@contoso.test', 'me', 'holiday');
    assert.ok((await bed.store.mailboxes.find('alice@contoso.test'))!.settings['outboxHeld']);
    await bed.outbox.releaseMailbox('alice@contoso.test');
    assert.deepEqual((await bed.store.mailboxes.find('alice@contoso.test'))!.settings, {});
  });

  test('many at once share commits, and one that the database refuses takes nobody along', async () => {
    let commits = 0;
    const store = {
      ...bed.store,
      outbox: {
        ...bed.store.outbox,
        insert: async (messages: Parameters<typeof bed.store.outbox.insert>[0]) => {
          commits += 1;
          if (messages.some(({ message }) => message.principal === 'bad')) throw new Error('no');
          return bed.store.outbox.insert(messages);
        },
      },
    };
    const other = await openOutboxBed({ clock, store, vault: bed.vault }).catch((error: unknown) => error);
    assert.ok(other instanceof Error, 'the mailbox is there already');
    const { openOutbox } = await import('./open.ts');
    const outbox = openOutbox({ store, vault: bed.vault, clock });
    await Promise.all(Array.from({ length: 50 }, () => outbox.accept(bed.request(), letter())));
    assert.ok(commits < 10, `${commits} commits`);
    const mixed = await Promise.allSettled(
      ['a', 'bad', 'c'].map((principal) => outbox.accept(bed.request({ principal }), letter())),
    );
    assert.deepEqual(
      mixed.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
  });
});

// RFC 5321 §4.1.2, RFC 6531 §3.3
test('addresses: what mail can go to', () => {
  for (const good of [
    'a@b',
    "o'neil+x@x-y.test",
    'jörg@bücher.example',
    '用户@例え.テスト',
    '"a b"@x.test',
    'a@[127.0.0.1]',
    'a@[IPv6:::1]',
  ])
    assert.ok(isAddress(good), good);
  // RFC 5321 §4.5.3.1.3: octets count, not characters.
  assert.ok(isAddress(`${'ü'.repeat(123)}@x.test`));
  assert.ok(!isAddress(`${'ü'.repeat(124)}@x.test`));
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('\r', '\n', '\0', ' ', '<', '>', ','), (text, bad) => {
      assert.equal(isAddress(`${text}${bad}@x.test`) && !text.startsWith('"'), false);
      assert.equal(isAddress(`a@${text}${bad}`), false);
    }),
  );
});

test('the case of an address is no difference (RFC 5321 §2.4)', () => {
  assert.ok(sameAddress('Alice@Contoso.test', 'alice@contoso.test'));
  assert.ok(!sameAddress('alice@contoso.test', 'alice@contoso.test.'));
});

test('A27: an address has no control, format or separator characters, whatever the alphabet', () => {
  for (const bad of [
    '\u0085',
    '\u009b',
    '\u00ad',
    '\u00a0',
    '\u200b',
    '\u202e',
    '\u2028',
    '\u2029',
    '\u3000',
    '\ufeff',
    '\ufffd',
    '\ud800',
  ])
    for (const text of [`a${bad}b@x.test`, `${bad}a@x.test`, `a@x${bad}y.test`, `"a${bad}b"@x.test`])
      assert.equal(isAddress(text), false, JSON.stringify(text));
});

test('Q10, A74a: what a key has in the outbox is not bounded in octets, and SECURITY.md says so', async (t) => {
  const own = await openOutboxBed();
  t.after(own.close);
  const body = `Subject: x\n\n${`${'x'.repeat(70)}\n`.repeat(14_000)}`;
  for (let at = 0; at < 12; at++)
    await own.outbox.accept(own.request({ source: 'http', principal: 'key_1' }), letter(body));
  const waiting = await own.outbox.list({}, { limit: 50 });
  assert.equal(waiting.length, 12);
  const text = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8').replaceAll(/\s+/g, ' ');
  assert.ok(text.includes('what it has in the outbox is not bounded in octets'));
});
