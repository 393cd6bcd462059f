/** Sending against our own receiving half: what goes in comes out, with and without pipelining, and what breaks is told apart. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { memoryPair } from '../../../test/bed/memory-socket.ts';
import { isError } from '../../base/error.ts';
import { Conn } from '../wire/conn.ts';
import { receiveExtensions, type ReceiveOptions, serveMail, type Transaction } from './receive.ts';
import { type Outgoing, SmtpSender } from './send.ts';

const ALL = receiveExtensions(1_000_000);

function bench(change: Partial<ReceiveOptions> = {}, extensions = ALL) {
  const [client, server] = memoryPair();
  const taken: { transaction: Transaction; text: string }[] = [];
  void serveMail(new Conn(server), {
    hostname: 'sink.example',
    maxOctets: 1_000_000,
    lineOctets: 4096,
    mail: ({ address }) => Promise.resolve(address.startsWith('bad') ? '550 5.7.60 no such sender' : '250 2.1.0 OK'),
    rcpt: ({ address }) => Promise.resolve(address.startsWith('bad') ? '450 4.2.0 not now' : '250 2.1.5 OK'),
    async message(transaction, octets) {
      const pieces: Buffer[] = [];
      for await (const piece of octets) pieces.push(piece);
      taken.push({ transaction, text: Buffer.concat(pieces).toString('latin1') });
      return '250 2.0.0 taken';
    },
    ...change,
  }).catch(() => undefined);
  return { sender: new SmtpSender(new Conn(client), 'sink.example', extensions), taken, server };
}

const outgoing = (change: Partial<Outgoing> = {}): Outgoing => ({
  from: 'a@x.test',
  recipients: [{ address: 'b@x.test', notify: ['FAILURE'], orcpt: 'rfc822;b@x.test' }],
  size: 10,
  eightBit: true,
  smtputf8: false,
  ret: 'HDRS',
  envid: 'id+1',
  body: [Buffer.from('A: b\r\n\r\nc\r\n')],
  ...change,
});

for (const extensions of [ALL, ALL.filter((line) => line !== 'PIPELINING')]) {
  const how = extensions === ALL ? 'pipelined' : 'one by one';

  // RFC 3461 §4.1, §4.2, §4.3, §4.4
  test(`${how}: two messages on one connection, with their options`, async () => {
    const { sender, taken } = bench({}, extensions);
    for (let count = 0; count < 2; count++) assert.equal((await sender.send(outgoing())).type, 'taken');
    const { from, recipients } = taken[1]!.transaction;
    assert.deepEqual(from, {
      address: 'a@x.test',
      size: 10,
      eightBit: true,
      smtputf8: false,
      ret: 'HDRS',
      envid: 'id+1',
    });
    assert.deepEqual(recipients, [{ address: 'b@x.test', notify: ['FAILURE'], orcpt: 'rfc822;b@x.test' }]);
    assert.equal(taken[1]!.text, 'A: b\r\n\r\nc\r\n');
  });

  // RFC 2920 §3.1
  test(`${how}: refused sender, some refused recipients, all refused; the connection stays good`, async () => {
    const { sender, taken } = bench({}, extensions);
    const sent = await sender.send(outgoing({ from: 'bad@x.test' }));
    assert.ok(sent.type === 'refused' && sent.reply.enhanced === '5.7.60' && sent.reply.code === 550);
    const some = await sender.send(outgoing({ recipients: [{ address: 'bad@x.test' }, { address: 'b@x.test' }] }));
    assert.ok(some.type === 'taken');
    assert.deepEqual(
      some.recipients.map(({ code }) => code),
      [450, 250],
    );
    const none = await sender.send(outgoing({ recipients: [{ address: 'bad@x.test' }] }));
    assert.ok(none.type === 'refused' && none.reply.code === 450);
    assert.equal((await sender.send(outgoing())).type, 'taken');
    assert.equal(taken.length, 2);
    assert.ok(sender.usable);
  });

  test(`${how}: a message refused after its octets`, async () => {
    const message = (): Promise<string> => Promise.resolve('554 5.2.0 no room');
    const { sender } = bench({ message }, extensions);
    const sent = await sender.send(outgoing());
    assert.ok(sent.type === 'refused' && sent.reply.text === '554 5.2.0 no room');
  });
}

test('octets arrive as they are, however they are cut: dots, line ends, none at the end', async () => {
  const line = fc.constantFrom('.', '..', '.x', 'x', '', 'a.b', '.\r\n.');
  await fc.assert(
    fc.asyncProperty(
      fc.array(line),
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 7 })),
      async (lines, open, cuts) => {
        const text = lines.join('\r\n') + (open ? '' : '\r\n');
        const octets = Buffer.from(text);
        const pieces: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) pieces.push(octets.subarray(at, (at += cut)));
        pieces.push(octets.subarray(at));
        const { sender, taken } = bench();
        await sender.send(outgoing({ body: pieces }));
        assert.equal(taken[0]!.text, text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`);
      },
    ),
  );
});

test('what the server cannot take by its own word is not sent', async () => {
  const { sender, taken } = bench({}, ['SIZE 5']);
  const large = await sender.send(outgoing());
  assert.ok(large.type === 'refused' && large.reply.enhanced === '5.3.4');
  const utf8 = await sender.send(outgoing({ size: 1, smtputf8: true }));
  assert.ok(utf8.type === 'refused' && utf8.reply.enhanced === '5.6.7');
  assert.equal(taken.length, 0);
});

test('the connection is lost before the last octet: nothing was taken; after it: nobody knows', async () => {
  const before = bench();
  const body = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from('A: b\r\n\r\n');
    before.server.destroy();
    for (let turns = 0; turns < 5; turns++) await new Promise((turn) => setImmediate(turn));
    yield Buffer.alloc(100_000, 'x');
    yield Buffer.alloc(100_000, 'x');
  };
  await assert.rejects(before.sender.send(outgoing({ body: body() })), (error) => isError(error, 'wire.closed'));
  assert.equal(before.sender.usable, false);
  const after = bench({
    async message(_, octets) {
      for await (const _piece of octets);
      after.server.destroy();
      return new Promise<string>(() => undefined);
    },
  });
  assert.equal((await after.sender.send(outgoing())).type, 'unknown');
  assert.equal(after.sender.usable, false);
});

test('421 ends the connection, and a body that fails leaves nothing behind', async () => {
  const { sender } = bench({ mail: () => Promise.resolve('421 4.3.2 going down') });
  const sent = await sender.send(outgoing());
  assert.ok(sent.type === 'refused' && sent.reply.code === 421);
  assert.equal(sender.usable, false);
  const broken = bench();
  // oxlint-disable-next-line require-yield -- it fails before it has anything
  const body = async function* (): AsyncGenerator<Buffer> {
    throw new Error('the octets are gone');
  };
  await assert.rejects(broken.sender.send(outgoing({ body: body() })), /octets are gone/);
  assert.deepEqual([broken.taken.length, broken.sender.usable], [0, false]);
});

/** A server that says what a test says: `answer` gets each line (and `.`), and the message's octets as `octets` each time some come. */
function scripted(answer: (line: string) => string | undefined, extensions = ALL) {
  const [client, server] = memoryPair();
  const heard: string[] = [];
  let inData = false;
  let unread = '';
  server.on('data', (octets: Buffer) => {
    unread += octets.toString('latin1');
    for (let end = unread.indexOf('\r\n'); end !== -1; end = unread.indexOf('\r\n')) {
      const line = unread.slice(0, end);
      unread = unread.slice(end + 2);
      const what = inData && line !== '.' ? 'octets' : line.split(':')[0]!;
      heard.push(what);
      inData &&= line !== '.';
      const reply = answer(what);
      if (reply === undefined) continue;
      inData ||= /^354/m.test(reply);
      server.write(`${reply}\r\n`);
    }
  });
  return { sender: new SmtpSender(new Conn(client), 'odd.example', extensions), heard, server };
}

const usual = (line: string): string | undefined =>
  line === 'octets' ? undefined : line === 'DATA' ? '354 go on' : '250 2.0.0 OK';
const but =
  (where: string, reply: string) =>
  (line: string): string | undefined =>
    line === where ? reply : usual(line);
const ONE_BY_ONE = ALL.filter((line) => line !== 'PIPELINING');

for (const [what, where, reply] of [
  ['together with 354', 'DATA', '354 go on\r\n250 2.0.0 taken'],
  ['with the first octets', 'octets', '250 2.0.0 taken'],
] as const)
  test(`K3: a 2xx ${what} is no answer to the message`, async () => {
    const { sender, heard } = scripted(but(where, reply));
    const body = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from(`A: b\r\n\r\n${'x\r\n'.repeat(30_000)}`);
      yield Buffer.from('end\r\n');
    };
    const sent = await sender.send(outgoing({ body: body() })).catch((error: unknown) => {
      assert.ok(isError(error, 'wire.syntax'));
      return undefined;
    });
    // Before the first octet nothing can have been taken; later nobody knows.
    assert.equal(sent?.type, where === 'DATA' ? undefined : 'unknown');
    assert.ok(!heard.includes('.'), 'its end is not sent');
    assert.equal(sender.usable, false);
  });

test('K3: a refusal before the end of the message is one, and the connection ends', async () => {
  const { sender, heard } = scripted(but('octets', '552 5.3.4 too large'));
  const body = [Buffer.from('A: b\r\n\r\n'), Buffer.from('x\r\n'.repeat(30_000)), Buffer.from('end\r\n')];
  const sent = await sender.send(outgoing({ body }));
  assert.ok(sent.type === 'refused' && sent.reply.enhanced === '5.3.4');
  assert.ok(!heard.includes('.'));
  assert.equal(sender.usable, false);
});

test('K3: a server that refuses early, reads no more and stays is not waited for', async () => {
  const { sender, server } = scripted((line) => {
    if (line !== 'octets') return usual(line);
    server.pause();
    return '552 5.3.4 too large';
  });
  const body = Array.from({ length: 200 }, () => Buffer.from('x\r\n'.repeat(30_000)));
  const sent = await sender.send(outgoing({ body: [Buffer.from('A: b\r\n\r\n'), ...body] }));
  assert.ok(sent.type === 'refused' && sent.reply.enhanced === '5.3.4');
  assert.equal(sender.usable, false);
});

for (const [how, extensions] of [
  ['pipelined', ALL],
  ['one by one', ONE_BY_ONE],
] as const) {
  for (const [where, reply] of [
    ['MAIL FROM', '250 2.1.0 OK\r\n250 2.1.0 OK'],
    ['RCPT TO', '250 2.1.5 OK\r\n550 5.1.1 nobody'],
    ['RCPT TO', '550 5.1.1 nobody\r\n250 2.1.5 OK'],
    ['RCPT TO', '354 go on'],
    ['DATA', '250 2.0.0 OK'],
    ['DATA', '354 go on\r\n354 go on'],
  ] as const)
    test(`K3: ${how}: more or other replies than asked for at ${where}: ${reply.replace('\r\n', ', ')}`, async () => {
      const { sender, heard } = scripted(but(where, reply), extensions);
      await assert.rejects(sender.send(outgoing()), (error) => isError(error, 'wire.syntax'));
      assert.equal(sender.usable, false);
      assert.ok(!heard.includes('.'), 'nothing was handed over');
    });

  test(`K3: ${how}: two replies to the message prove nothing; a goodbye behind its reply is one`, async () => {
    const twice = scripted(but('.', '250 2.0.0 OK\r\n554 5.6.0 refused'), extensions);
    assert.equal((await twice.sender.send(outgoing())).type, 'unknown');
    assert.equal(twice.sender.usable, false);
    const leaving = scripted(but('.', '250 2.0.0 OK\r\n421 4.3.2 bye'), extensions);
    assert.equal((await leaving.sender.send(outgoing())).type, 'taken');
    assert.equal(leaving.sender.usable, false);
  });

  test(`K3: ${how}: what was said before anything was asked ends the connection before anything is sent`, async () => {
    const { sender, heard, server } = scripted(usual, extensions);
    server.write('250 2.0.0 OK\r\n');
    await assert.rejects(sender.send(outgoing()), (error) => isError(error, 'wire.syntax'));
    assert.deepEqual([heard, sender.usable], [[], false]);
  });

  test(`K6: ${how}: 354 in answer to the message is no refusal: nobody knows, and the connection ends`, async () => {
    const { sender } = scripted(but('.', '354 go on'), extensions);
    assert.equal((await sender.send(outgoing())).type, 'unknown');
    assert.equal(sender.usable, false);
  });

  test(`K12: ${how}: where MAIL was refused nothing was said of the recipients`, async () => {
    const answers: Readonly<Record<string, string>> = {
      'MAIL FROM': '550 5.7.60 no right to send as this sender',
      'RCPT TO': '503 5.5.2 need MAIL',
      DATA: '503 5.5.2 need MAIL',
    };
    const { sender } = scripted((line) => answers[line] ?? usual(line), extensions);
    const sent = await sender.send(outgoing());
    assert.ok(sent.type === 'refused' && sent.reply.enhanced === '5.7.60');
    assert.deepEqual(sent.recipients, []);
    assert.ok(sender.usable);
  });
}
