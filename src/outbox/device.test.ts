/** Devices without a sign-in: only from their network, only as their sender, only so much. */
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { type Certificates, certificates } from '../../test/bed/fake-provider.ts';
import { without } from '../../test/bed/need.ts';
import { openOutboxBed, octetsOf, type OutboxBed } from '../../test/bed/outbox.ts';
import { runProgram } from '../../test/bed/process.ts';
import { Wire } from '../../test/bed/wire.ts';
import type { AuditEntry } from '../audit/types.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { isError, PosternError } from '../base/error.ts';
import { nullLog } from '../base/log.ts';
import { type ServerContext, serverContext } from '../protocol/tls/server.ts';
import { type DeviceListener, type DeviceListenerOptions, startDeviceListener } from './device-listener.ts';
import { type DeviceRule, ruleFor } from './device-rule.ts';
import { editMailbox } from '../store/edit.ts';

const ALICE = 'alice@contoso.test';
const RULE: DeviceRule = { name: 'printers', networks: ['127.0.0.1'], mailbox: ALICE, perHour: 3 };
const clock = new ManualClock();
const warnings: string[] = [];
let bed: OutboxBed;
let devices: DeviceListener;

let authority: Certificates;
let tls: ServerContext;

const start = (rule: DeviceRule, how: DeviceListenerOptions['tls'] = 'none'): Promise<DeviceListener> =>
  startDeviceListener(
    {
      ...bed,
      clock,
      tls,
      log: { ...nullLog, warn: (fields, message) => void warnings.push(`${message} ${JSON.stringify(fields)}`) },
      hostname: 'postern.test',
    },
    { host: '127.0.0.1', port: 0, tls: how, rules: [rule] },
  );

before(async () => {
  authority = await certificates();
  tls = serverContext(await authority.issue());
  bed = await openOutboxBed({ clock });
  devices = await start(RULE);
});
after(async () => {
  await devices.close();
  await bed.close();
});

async function open(port = devices.port): Promise<Wire> {
  const wire = await Wire.open({ host: '127.0.0.1', port });
  await wire.until(/^220 postern\.test .*\r\n/);
  return wire;
}

/** The reply to a whole message. */
async function send(wire: Wire, to: readonly string[], header = `From: Scanner <${ALICE}>`): Promise<string> {
  wire.send(`MAIL FROM:<${ALICE}>\r\n${to.map((one) => `RCPT TO:<${one}>\r\n`).join('')}DATA\r\n`);
  await wire.until(/^354 .*\r\n/m);
  wire.send(`${header}\r\nSubject: scan\r\n\r\n..dots\r\n.\r\n`);
  return wire.until(/^\d{3} .*\r\n/);
}

test('a message is taken without AUTH, as the rule says, and its story names the rule', async () => {
  assert.ok(warnings.some((line) => line.includes('without signing in') && line.includes(ALICE)));
  const wire = await open();
  wire.send('EHLO scanner\r\n');
  assert.doesNotMatch(await wire.until(/^250 .*\r\n/m), /AUTH/);
  const reply = await send(wire, ['bob@contoso.test']);
  const id = /queued as (\S+)/.exec(reply)![1]!;
  const message = (await bed.outbox.find(id))!;
  assert.deepEqual([message.source, message.principal, message.mailbox], ['device', 'device printers', ALICE]);
  assert.match((await octetsOf(bed.outbox.body(message))).toString(), /\r\n\r\n\.dots\r\n$/);
  wire.send('QUIT\r\n');
  await wire.closed();
});

test('another sender is refused, in the envelope, in From and in Sender', async () => {
  await clock.advance(3_600_000);
  const wire = await open();
  for (const from of ['eve@contoso.test', '']) {
    wire.send(`MAIL FROM:<${from}>\r\n`);
    assert.match(await wire.until(/^.*\r\n/), /^550 5\.7\.60 the only sender allowed here is alice@contoso\.test/);
  }
  for (const header of ['From: eve@x.test', `From: ${ALICE}\r\nSender: eve@x.test`, `From: ${ALICE}, eve@x.test`])
    assert.match(await send(wire, ['bob@contoso.test'], header), /^550 5\.7\.60 .*eve@x\.test/);
  wire.destroy();
});

test('A23: nothing is taken for a mailbox that is suspended, before or in the middle of a message', async () => {
  await clock.advance(3_600_000);
  const wire = await open();
  const suspend = () => bed.store.mailboxes.update(ALICE, { suspended: { since: 0, reason: 'left' } });
  await suspend();
  wire.send(`MAIL FROM:<${ALICE}>\r\n`);
  assert.match(await wire.until(/^.*\r\n/), /^550 5\.7\.1 alice@contoso\.test is suspended: left/);
  await bed.store.mailboxes.update(ALICE, { suspended: undefined });
  wire.send(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\n`);
  await wire.until(/^354 .*\r\n/m);
  wire.send(`From: ${ALICE}\r\nSubject: half\r\n\r\nso far`);
  await suspend();
  wire.send('\r\n.\r\n');
  assert.match(await wire.until(/^\d{3} .*\r\n/), /^550 5\.7\.1 .*suspended/);
  for (const source of ['smtp', 'http', 'sendmail', 'device'] as const)
    await assert.rejects(bed.outbox.accept(bed.request({ source }), [Buffer.from('\r\nhi\r\n')]), {
      code: 'oauth.suspended',
    });
  // Its reports wait for it.
  const envelope = { from: '', recipients: [{ address: ALICE }] };
  await bed.outbox.accept(bed.request({ source: 'report', envelope }), [Buffer.from('\r\nhi\r\n')]);
  await bed.store.mailboxes.update(ALICE, { suspended: undefined });
  assert.match(await send(wire, ['bob@contoso.test']), /^250 /);
  wire.destroy();
});

test('A4: a sender that is withdrawn, and a mailbox that is removed, count for devices that are connected', async () => {
  await clock.advance(3_600_000);
  const INFO = 'info@contoso.test';
  const from = async (wire: Wire): Promise<string> => {
    wire.send(`RSET\r\nMAIL FROM:<${INFO}>\r\n`);
    await wire.until(/^250 .*\r\n/);
    return wire.until(/^\d{3} .*\r\n/);
  };
  await bed.addMailbox('shared@contoso.test', { sendAs: [INFO] });
  const shared = await start({ ...RULE, mailbox: 'shared@contoso.test', sender: INFO });
  const wire = await open(shared.port);
  assert.match(await from(wire), /^250 /);
  await editMailbox(bed.store, 'shared@contoso.test', () => ({}));
  let reply = '';
  for (let at = 0; at < 100 && !reply.startsWith('550'); at++) reply = await from(wire);
  assert.match(reply, /^550 5\.7\.60 shared@contoso\.test may not send as info@contoso\.test/);
  await bed.store.mailboxes.remove('shared@contoso.test');
  assert.match(await wire.closed(), /421 4\.3\.0 /);
  await shared.close();
});

test('the quota counts recipients, lasts over restarts, and gives room again after an hour', async () => {
  await clock.advance(3_600_000);
  let wire = await open();
  assert.match(await send(wire, ['a@x.test', 'b@x.test']), /^250 /);
  assert.match(await send(wire, ['a@x.test', 'b@x.test']), /^452 4\.7\.1 /);
  assert.match(await send(wire, ['c@x.test']), /^250 /);
  wire.destroy();
  const other = await start(RULE);
  wire = await open(other.port);
  assert.match(await send(wire, ['d@x.test']), /^452 4\.7\.1 /);
  wire.destroy();
  await clock.advance(3_600_000);
  wire = await open(other.port);
  assert.match(await send(wire, ['d@x.test']), /^250 /);
  wire.destroy();
  await other.close();
});

test('who is not in the network, and a rule without its mailbox, are turned away; P68: the log says what to do', async () => {
  warnings.length = 0;
  const elsewhere = await start({ ...RULE, networks: ['192.0.2.0/24'] });
  let wire = await Wire.open({ host: '127.0.0.1', port: elsewhere.port });
  assert.match(await wire.closed(), /^554 5\.7\.1 /);
  await elsewhere.close();
  const broken = await start({ ...RULE, mailbox: 'nobody@contoso.test' });
  wire = await Wire.open({ host: '127.0.0.1', port: broken.port });
  assert.match(await wire.closed(), /^421 4\.3\.0 /);
  await broken.close();
  const [stranger, mailbox] = warnings.filter((line) => line.startsWith('a device was turned away'));
  assert.match(stranger!, /"hint":"[^"]*outbox\.devices in postern\.yaml: postern explain devices"/);
  assert.match(mailbox!, /"hint":"[^"]*rule printers [^"]*: postern mailbox list"/);
  assert.equal(ruleFor([{ ...RULE, networks: [] }], '192.0.2.1'), undefined);
  assert.equal(ruleFor([RULE], '::ffff:127.0.0.1'), RULE);
});

test('a port that is taken is an error by name; closing says goodbye', async () => {
  await assert.rejects(
    startDeviceListener(
      { ...bed, clock, tls, log: nullLog, hostname: 'x' },
      { host: '127.0.0.1', port: devices.port, tls: 'none', rules: [RULE] },
    ),
    (error: unknown) => isError(error, 'outbox.device-port'),
  );
  const short = await start(RULE);
  const wire = await open(short.port);
  await short.close();
  assert.match(await wire.closed(), /^421 4\.3\.2 /);
});

test('W10: eased, idle devices are told to leave at once, a message under way is taken to its end, nobody comes in', async () => {
  const short = await start(RULE);
  const [idle, silent, busy] = [await open(short.port), await open(short.port), await open(short.port)];
  idle.send('EHLO scanner\r\n');
  await idle.until(/^250 .*\r\n/m);
  busy.send(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\n`);
  await busy.until(/^354 .*\r\n/m);
  let eased = false;
  const last = short.ease().then(() => (eased = true));
  for (const wire of [idle, silent]) assert.match(await wire.closed(), /^421 4\.3\.2 .* is shutting down\r\n$/m);
  await assert.rejects(Wire.open({ host: '127.0.0.1', port: short.port }), { code: 'ECONNREFUSED' });
  assert.equal(eased, false);
  // The last octets come with half a command behind them: the answer to what was taken must not be lost.
  busy.send(`From: <${ALICE}>\r\n\r\nlast page\r\n.\r\nNO`);
  assert.match(await busy.closed(), /^250 2\.0\.0 queued as \S+\r\n421 4\.3\.2 /);
  await last;
  await short.close();
});

test('F33: with tls: plain STARTTLS is not offered, so that a device with old TLS and no switch for it can send', async () => {
  await clock.advance(3_600_000);
  const plain = await start(RULE, 'plain');
  const wire = await open(plain.port);
  wire.send('EHLO scanner\r\n');
  assert.doesNotMatch(await wire.until(/^250 .*\r\n/m), /STARTTLS/);
  wire.send('STARTTLS\r\n');
  assert.match(await wire.until(/^\d{3} .*\r\n/), /^502 5\.5\.1 /);
  assert.match(await send(wire, ['bob@contoso.test']), /^250 2\.0\.0 queued/);
  wire.destroy();
  if (without('curl') === false) {
    // As such a device: TLS where it is offered, and none newer than 1.1.
    const device = (port: number, accept: number[]) =>
      runProgram(
        'curl',
        `-sS --ssl --tls-max 1.1 --max-time 20 -T - --mail-from ${ALICE} --mail-rcpt bob@contoso.test smtp://127.0.0.1:${port}`.split(
          ' ',
        ),
        { accept, input: `From: ${ALICE}\r\nSubject: scan\r\n\r\npage\r\n` },
      );
    await device(devices.port, [35]); // the TLS handshake failed
    await device(plain.port, [0]);
  }
  await plain.close();
});

test('STARTTLS is offered and used; without it tls: starttls takes nothing; tls: implicit needs no word', async () => {
  await clock.advance(3_600_000);
  const strict = await start(RULE, 'starttls');
  for (const [port, plain] of [
    [devices.port, /^250 2\.1\.0/],
    [strict.port, /^530 5\.7\.0 use STARTTLS first/],
  ] as const) {
    const wire = await open(port);
    wire.send('EHLO scanner\r\n');
    assert.match(await wire.until(/^250 .*\r\n/m), /^250 STARTTLS/m);
    wire.send(`MAIL FROM:<${ALICE}>\r\n`);
    assert.match(await wire.until(/^\d{3} .*\r\n/), plain);
    wire.destroy();
    const secure = await open(port);
    secure.send('HELO scanner\r\nNOOP\r\n');
    await secure.until(/^250 2\.0\.0 .*\r\n/m);
    secure.send('STARTTLS\r\n');
    await secure.until(/^220 2\.0\.0 .*\r\n/);
    await secure.secure(authority.ca);
    secure.send('EHLO scanner\r\n');
    assert.doesNotMatch(await secure.until(/^250 .*\r\n/m), /STARTTLS/);
    assert.match(await send(secure, ['bob@contoso.test']), /^250 .*queued as/);
    secure.destroy();
  }
  await strict.close();
  const implicit = await start(RULE, 'implicit');
  const wire = await Wire.open({ host: '127.0.0.1', port: implicit.port }, authority.ca);
  await wire.until(/^220 .*\r\n/);
  assert.match(await send(wire, ['bob@contoso.test']), /^250 .*queued as/);
  wire.destroy();
  await implicit.close();
});

test('plain text sent together with STARTTLS is refused; everything pipelined at once and cut off is taken', async () => {
  await clock.advance(3_600_000);
  const early = await open();
  early.send(`STARTTLS\r\nMAIL FROM:<${ALICE}>\r\n`);
  assert.match(await early.closed(), /^554 5\.5\.1 /);
  const wire = await open();
  wire.send(
    `EHLO x\r\nMAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\nFrom: ${ALICE}\r\n\r\nhi\r\n.\r\nQUIT\r\n`,
  );
  assert.match(await wire.closed(), /queued as/);
});

test('L14, S13: a device whose database is away is told to come again; one address has a fifth of the places', async (t) => {
  const { port, close } = await start(RULE);
  t.after(close);
  const { opened } = bed.store.mailboxes;
  Object.assign(bed.store.mailboxes, {
    opened: () => Promise.reject(new PosternError('store.unavailable', { kind: 'later', hint: 'wait' }, 'away')),
  });
  const away = await Wire.open({ host: '127.0.0.1', port });
  assert.match(await away.until(/^\d{3} .*\r\n/), /^421 4\.3\.0 /);
  Object.assign(bed.store.mailboxes, { opened });
  const wires: Wire[] = [];
  t.after(() => wires.forEach((wire) => wire.destroy()));
  for (let at = 0; at < 19; at++) wires.push(await open(port));
  const one = await Wire.open({ host: '127.0.0.1', port });
  const other = await Wire.open({ host: '127.0.0.1', port });
  wires.push(one, other);
  const said = await Promise.all([one, other].map((wire) => wire.until(/^\d{3} .*\r\n/)));
  assert.ok(
    said.some((line) => line.startsWith('421 4.3.0 ')),
    said.join(''),
  );
});

test('D2: mail that is refused uses nothing of the quota up; what was accepted does', async () => {
  const rule = { ...RULE, name: 'scanners', perHour: 4 };
  const own = await start(rule);
  try {
    for (let at = 0; at < 5; at++) {
      const wire = await open(own.port);
      wire.send('EHLO scanner\r\n');
      await wire.until(/^250 .*\r\n/m);
      assert.match(await send(wire, ['bob@contoso.test'], 'From: <eve@contoso.test>'), /^550 /);
      wire.send('QUIT\r\n');
      await wire.closed();
    }
    const wire = await open(own.port);
    wire.send('EHLO scanner\r\n');
    await wire.until(/^250 .*\r\n/m);
    for (let at = 0; at < 4; at++) assert.match(await send(wire, ['bob@contoso.test']), /^250 /);
    assert.match(await send(wire, ['bob@contoso.test']), /^452 4\.7\.1/);
    wire.send('QUIT\r\n');
    await wire.closed();
  } finally {
    await own.close();
  }
});

test('D32: every line and the record of a device’s session name session, protocol, address and rule', async () => {
  const lines: Record<string, unknown>[] = [];
  const records: AuditEntry[] = [];
  const keep = (fields: object): void => void lines.push({ ...fields });
  const own = await startDeviceListener(
    {
      ...bed,
      clock,
      tls,
      log: { ...nullLog, warn: keep, info: keep },
      hostname: 'postern.test',
      audit: { note: (entry) => void records.push(entry) },
    },
    { host: '127.0.0.1', port: 0, tls: 'none', rules: [{ ...RULE, name: 'hall' }] },
  );
  const wire = await open(own.port);
  wire.send('EHLO scanner\r\n');
  await wire.until(/^250 .*\r\n/m);
  assert.match(await send(wire, ['bob@contoso.test']), /queued as/);
  wire.send('MAIL FROM:<stranger@contoso.test>\r\n');
  await wire.until(/^5\d\d .*\r\n/m);
  wire.send('QUIT\r\n');
  await wire.closed();
  await own.close();
  const [record, ...more] = records;
  assert.deepEqual([more.length, record?.type, record?.mailbox], [0, 'session.ended', ALICE]);
  const facts = { protocol: 'smtp', remoteAddress: '127.0.0.1', rule: 'hall' };
  assert.deepEqual({ ...record?.data, ...facts }, record?.data);
  const said = lines.filter(({ sessionId }) => sessionId !== undefined);
  assert.equal(said.length, 2);
  for (const line of said) assert.deepEqual({ ...line, ...facts, sessionId: record?.sessionId }, line);
});

test('Q2, A107: all addresses of one /64 are one client: they have the places of one, and its oldest makes room', async (t) => {
  const prototype = Socket.prototype as unknown as { _getpeername(): { address?: string } };
  const { _getpeername: real } = prototype;
  const given = new WeakMap<object, string>();
  let count = 0;
  let prefix = '2001:db8:1:2';
  prototype._getpeername = function named(this: object) {
    if (!given.has(this)) given.set(this, `${prefix}:${(++count).toString(16)}::1`);
    return { address: given.get(this)! };
  };
  t.after(() => (prototype._getpeername = real));
  const listener = await start({ ...RULE, name: 'six', networks: ['2001:db8:1::/48'] });
  t.after(() => listener.close());
  const wires: Wire[] = [];
  const greeting = async (): Promise<string> => {
    const wire = await Wire.open({ host: '127.0.0.1', port: listener.port });
    t.after(() => wire.destroy());
    wires.push(wire);
    return (await wire.until(/^\d{3} .*\r\n/)).slice(0, 3);
  };
  for (let at = 0; at < 25; at++) assert.equal(await greeting(), '220');
  for (const wire of wires.slice(0, 5))
    assert.match(await wire.closed(), /^421 4\.3\.0 postern\.test needs this place for another device\r\n/m);
  for (const wire of wires.slice(5)) {
    wire.send('NOOP\r\n');
    await wire.until(/^250 /m);
  }
  prefix = '2001:db8:1:3';
  assert.equal(await greeting(), '220', 'another network has its own places');
});
