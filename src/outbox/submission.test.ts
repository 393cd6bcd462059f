/** Names without a domain over SMTP, for programs that signed in and for devices. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { openOutboxBed, octetsOf, type OutboxBed } from '../../test/bed/outbox.ts';
import { Wire } from '../../test/bed/wire.ts';
import { systemClock } from '../base/clock.ts';
import type { Log, LogFields } from '../base/log.ts';
import { Conn } from '../protocol/wire/conn.ts';
import type { OutboxMessage } from '../store/types-outbox.ts';
import { serveSubmission } from './submission.ts';

const ALICE = 'alice@contoso.test';

interface Site {
  readonly bed: OutboxBed;
  /** The reply to one command or more. */
  say(text: string): Promise<string>;
  /** Levels and messages of the log. */
  readonly lines: string[];
  /** Hands a message over. */
  send(from: string, to: string, header: string): Promise<OutboxMessage & { readonly text: string }>;
  close(): Promise<void>;
}

async function open(source: 'smtp' | 'device', localDomain?: string): Promise<Site> {
  const bed = await openOutboxBed({ localDomain });
  const lines: string[] = [];
  const write =
    (level: string) =>
    (_: LogFields, message: string): void =>
      void lines.push(`${level}: ${message}`);
  const log: Log = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => log,
  };
  const server = createServer((socket) => {
    const session = {
      mailbox: () => bed.mailbox,
      principal: 'p',
      source,
      hostname: 'h.test',
      sessionId: 's',
      remoteAddress: '',
    };
    const conn = new Conn(socket, { clock: systemClock });
    const only = source === 'device' ? { onlySender: ALICE } : {};
    void serveSubmission({ ...bed, log }, conn, { ...session, ...only }, new AbortController().signal);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const wire = await Wire.open({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const say = (text: string): Promise<string> => {
    wire.send(`${text}\r\n`);
    return wire.until(/^\d{3} .*\r\n/);
  };
  return {
    bed,
    lines,
    say,
    async send(from, to, header) {
      assert.match(await say(`MAIL FROM:<${from}>`), /^250 /);
      assert.match(await say(`RCPT TO:<${to}>`), /^250 /);
      assert.match(await say('DATA'), /^354 /);
      const id = /queued as (\S+)/.exec(await say(`${header}\r\n\r\nx\r\n.`))![1]!;
      const message = (await bed.outbox.find(id))!;
      return { ...message, text: (await octetsOf(bed.outbox.body(message))).toString() };
    },
    async close() {
      wire.destroy();
      server.close();
      await bed.close();
    },
  };
}

for (const source of ['smtp', 'device'] as const) {
  test(`F6: names without a domain are completed, ${source}`, async (t) => {
    const site = await open(source, 'contoso.test');
    t.after(() => site.close());
    const cron = await site.send('root', 'postmaster', 'From: root (Cron Daemon)\r\nTo: root');
    assert.deepEqual([cron.envelopeFrom, cron.recipients[0]?.address], [ALICE, 'postmaster@contoso.test']);
    assert.match(cron.text, /^From: "root \(Cron Daemon\)" <alice@contoso\.test>\r\nTo: root@contoso\.test\r\n/);
    assert.equal((await site.send('alice', 'root', 'To: root')).envelopeFrom, ALICE);
  });

  test(`F6: without a domain for them the refusal names the key, ${source}`, async (t) => {
    const site = await open(source);
    t.after(() => site.close());
    const refused = /^501 5\.1\.3 (?:root|postmaster) has no domain \(.*outbox: \{ localDomain: example\.com \}/;
    assert.match(await site.say('MAIL FROM:<root>'), refused);
    assert.match(await site.say(`MAIL FROM:<${ALICE}>`), /^250 /);
    for (const name of ['root', 'postmaster']) assert.match(await site.say(`RCPT TO:<${name}>`), refused);
  });
}

test('F2: what has no sender is completed or refused while the program waits', async (t) => {
  const site = await open('smtp');
  t.after(() => site.close());
  const report = 'Content-Type: multipart/report; boundary=b';
  const bounce = await site.send('', ALICE, `From: MAILER-DAEMON@vm.contoso.test\r\n${report}`);
  assert.equal(bounce.envelopeFrom, '');
  assert.match(bounce.text, /^From: "MAILER-DAEMON@vm\.contoso\.test" <alice@contoso\.test>\r$/m);
  assert.match(bounce.text, /^X-Original-From: MAILER-DAEMON@vm\.contoso\.test\r$/m);
  for (const header of ['From: MAILER-DAEMON@vm.contoso.test', `From: ceo@contoso.test\r\n${report}`]) {
    await site.say('MAIL FROM:<>');
    await site.say(`RCPT TO:<${ALICE}>`);
    await site.say('DATA');
    assert.match(await site.say(`${header}\r\n\r\nx\r\n.`), /^550 5\.7\.60 /);
  }
});

test('A61: a message that is given up between two chunks is no defect', async (t) => {
  const site = await open('smtp');
  t.after(site.close);
  const half = `From: ${ALICE}\r\nSubject: half`;
  // `say` ends what it says with CRLF.
  const chunk = `BDAT ${half.length + 2}\r\n${half}`;
  for (const said of [`MAIL FROM:<${ALICE}>`, 'RCPT TO:<bob@contoso.test>', chunk, 'RSET'])
    assert.match(await site.say(said), /^250 /);
  assert.deepEqual(
    site.lines.filter((line) => !line.startsWith('debug')),
    ['info: a message was not taken: the program gave the message up before its last chunk'],
  );
});
