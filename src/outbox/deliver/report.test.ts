/** What a report has of the message it is about (RFC 3461 §4.3), read by a MIME parser that is not ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import PostalMime from 'postal-mime';
import { letter, octetsOf, openOutboxBed } from '../../../test/bed/outbox.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { report, type ReportKind } from './report.ts';

const SUBJECT = 'Sicherung für heute';
const text = (octets: number): string =>
  `Subject: ${SUBJECT}\n\nout\n${'x'
    .repeat(70)
    .concat('\n')
    .repeat(octets / 72)}\nlast line\n`;

for (const [what, ret, size, kind, whole] of [
  ['a small one comes back whole', undefined, 1000, 'failed', true],
  ['a large one by its header', undefined, 60_000, 'failed', false],
  ['a large one whole where RET=FULL asks for it', 'FULL', 60_000, 'failed', true],
  ['a huge one by its header whatever is asked for', 'FULL', 1_100_000, 'failed', false],
  ['RET=HDRS gives the header', 'HDRS', 1000, 'failed', false],
  ['what was only handed on is told by its header', 'FULL', 1000, 'relayed', false],
] as const satisfies readonly (readonly [string, 'FULL' | 'HDRS' | undefined, number, ReportKind, boolean])[]) {
  test(`F32: ${what}`, async (t) => {
    const bed = await openOutboxBed();
    t.after(() => bed.close());
    const state = kind === 'failed' ? ('refused' as const) : ('delivered' as const);
    const notify = ['FAILURE', 'SUCCESS'];
    const envelope = {
      from: bed.mailbox.address,
      recipients: [{ address: 'bob@contoso.test', notify }],
      ...(ret === undefined ? {} : { ret }),
    };
    const { message } = await bed.outbox.accept(bed.request({ envelope }), letter(text(size)));
    const recipients = message.recipients.map((one) => ({ ...one, state, reply: '550 5.1.10 nobody' }));
    const deps = { store: bed.store, outbox: bed.outbox, clock: new ManualClock(), hostname: 'gate.test' };
    await report(deps, { ...message, recipients }, kind);
    const [told] = await bed.outbox.list({}, { limit: 1 });
    const octets = await octetsOf(bed.outbox.body(told!));
    const read = await PostalMime.parse(octets, { forceRfc822Attachments: true });
    assert.match(read.subject ?? '', new RegExp(`: ${SUBJECT}$`));
    assert.deepEqual(
      read.attachments.map(({ mimeType }) => mimeType).filter((type) => type.includes('rfc822')),
      [whole ? 'message/rfc822' : 'text/rfc822-headers'],
    );
    assert.equal(octets.includes(await octetsOf(bed.outbox.body(message))), whole);
    assert.equal(octets.includes(`Subject: ${SUBJECT}\r\n`), true);
    assert.equal(octets.includes('last line'), whole);
  });
}

test('Q4: a report about a message with an odd Message-ID and a long Subject has no line that servers refuse', async (t) => {
  for (const id of [
    '<a@x.test> <b@x.test>',
    'no brackets',
    '<drücker@x.test>',
    `<${'x'.repeat(990)}>`,
    '<good@x.test>',
  ]) {
    const bed = await openOutboxBed();
    t.after(() => bed.close());
    const long = `Subject: ${'Wörter '.repeat(120)}\n ${'mehr '.repeat(150)}\nMessage-ID: ${id}\n\nout\n`;
    const { message } = await bed.outbox.accept(bed.request(), letter(long));
    assert.equal(message.messageId, id);
    const recipients = message.recipients.map((one) => ({
      ...one,
      state: 'refused' as const,
      reply: '550 5.1.10 nobody',
    }));
    const deps = { store: bed.store, outbox: bed.outbox, clock: new ManualClock(), hostname: 'gate.test' };
    await report(deps, { ...message, recipients }, 'failed');
    const [told] = await bed.outbox.list({}, { limit: 1 });
    const raw = (await octetsOf(bed.outbox.body(told!))).toString();
    const header = raw.slice(0, raw.indexOf('\r\n\r\n'));
    for (const one of header.split('\r\n')) assert.ok(Buffer.byteLength(one) <= 998, one);
    assert.match(header, /^Subject: .*Wörter /m);
    assert.equal(
      /^In-Reply-To: (.*)$/m.exec(header)?.[1],
      { '<good@x.test>': id, '<a@x.test> <b@x.test>': '<a@x.test>' }[id],
    );
  }
});
