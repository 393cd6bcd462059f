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
