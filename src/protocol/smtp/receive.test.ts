/** Receiving mail after sign-in: transactions, pipelining, chunks, parameters, wrong input; however the octets are cut. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemorySocket, memoryPair } from '../../../test/bed/memory-socket.ts';
import { Conn } from '../wire/conn.ts';
import { decodeXtext, encodeXtext, parsePath } from './envelope.ts';
import { type ReceiveOptions, serveMail, type Transaction } from './receive.ts';

interface Taken extends Transaction {
  readonly text: string;
}

/** Sends `input`, cut as told, and ends; gives the replies and what was taken. */
async function talk(
  input: string,
  change: Partial<ReceiveOptions> = {},
  cuts: readonly number[] = [],
): Promise<{ replies: string[]; taken: Taken[]; failed: number }> {
  const [client, server] = memoryPair();
  const taken: Taken[] = [];
  let failed = 0;
  const done = serveMail(new Conn(server), {
    hostname: 'gate.example',
    maxOctets: 10_000,
    lineOctets: 2048,
    mail: () => Promise.resolve('250 2.1.0 Sender OK'),
    rcpt: ({ address }) =>
      Promise.resolve(address.startsWith('bad') ? '550 5.1.1 no such user' : '250 2.1.5 Recipient OK'),
    async message(transaction, octets) {
      const pieces: Buffer[] = [];
      try {
        for await (const piece of octets) pieces.push(piece);
      } catch {
        failed += 1;
        return '451 4.3.0 not whole';
      }
      taken.push({ ...transaction, text: Buffer.concat(pieces).toString() });
      return '250 2.0.0 taken';
    },
    ...change,
  });
  const conn = new Conn(client);
  const bytes = Buffer.from(input.replaceAll('\n', '\r\n'));
  let at = 0;
  for (const cut of cuts) {
    await conn.write(bytes.subarray(at, (at += cut)));
    await new Promise((turn) => setImmediate(turn));
  }
  if (at < bytes.length) await conn.write(bytes.subarray(at));
  client.end();
  await done.finally(() => server.end()).catch(() => undefined);
  const replies: string[] = [];
  for (let line = await conn.line(4096); line !== undefined; line = await conn.line(4096))
    replies.push(line.toString());
  return { replies, taken, failed };
}

const codes = (replies: readonly string[]): string[] => replies.map((line) => line.slice(0, 3));
const ENVELOPE =
  'MAIL FROM:<a@x.test> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=id+2B1\nRCPT TO:<b@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x.test\n';

// RFC 5321 §3.3, §4.1.1
test('a transaction by DATA, however it is cut', async () => {
  const input = `EHLO me\n${ENVELOPE}DATA\nSubject: x\n\n..dots\n.\nMAIL FROM:<>\nRCPT TO:<c@x.test>\nDATA\n.\nQUIT\n`;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 }), async (cuts) => {
      const { replies, taken } = await talk(input, {}, cuts);
      assert.deepEqual(codes(replies.filter((line) => line[3] === ' ')), [
        '250',
        '250',
        '250',
        '354',
        '250',
        '250',
        '250',
        '354',
        '250',
        '221',
      ]);
      assert.equal(taken[0]!.text, 'Subject: x\r\n\r\n.dots\r\n');
      assert.deepEqual(taken[0]!.from, {
        address: 'a@x.test',
        size: 10,
        eightBit: true,
        smtputf8: false,
        ret: 'HDRS',
        envid: 'id+1',
      });
      assert.deepEqual(taken[0]!.recipients, [
        { address: 'b@x.test', notify: ['SUCCESS', 'FAILURE'], orcpt: 'rfc822;b@x.test' },
      ]);
      assert.deepEqual([taken[1]!.from.address, taken[1]!.text], ['', '']);
    }),
    { numRuns: 60 },
  );
});

// RFC 3030 §2
test('a message in chunks is one message; octets in it are no commands', async () => {
  const input = `${ENVELOPE}BDAT 6\nA: b\nBDAT 8\n\nQUIT\nBDAT 0 LAST\nQUIT\n`;
  const { replies, taken } = await talk(input);
  assert.deepEqual(codes(replies), ['250', '250', '250', '250', '250', '221']);
  assert.equal(taken[0]!.text, 'A: b\r\n\r\nQUIT\r\n');
});

test('a message in chunks that is given up fails at its taker, and the next one is well', async () => {
  const { replies, taken, failed } = await talk(`${ENVELOPE}BDAT 3\nabcRSET\n${ENVELOPE}BDAT 3 LAST\nxyzQUIT\n`);
  assert.deepEqual(codes(replies), ['250', '250', '250', '250', '250', '250', '250', '221']);
  assert.deepEqual([failed, taken.length, taken[0]!.text], [1, 1, 'xyz']);
});

test('the end of the connection in the middle of a message: nothing is taken', async () => {
  for (const input of [`${ENVELOPE}DATA\nSubject: x\n`, `${ENVELOPE}BDAT 100\nabc`, `${ENVELOPE}BDAT 3\nabc`]) {
    const { taken, failed } = await talk(input);
    assert.deepEqual([taken.length, failed], [0, 1], input);
  }
});

test('a taker that refuses early does not leave the rest to be read as commands', async () => {
  const message = async (_: Transaction, octets: AsyncIterable<Buffer>): Promise<string> => {
    for await (const _piece of octets) return '554 5.6.0 no';
    return '250 2.0.0 empty';
  };
  const long = `X: ${'y'.repeat(3000)}\n`.repeat(3);
  const data = await talk(`${ENVELOPE}DATA\n${long}.\nNOOP\nQUIT\n`, { message }, [200, 300]);
  assert.deepEqual(codes(data.replies), ['250', '250', '354', '554', '250', '221']);
  const chunks = await talk(`${ENVELOPE}BDAT 3\nabcBDAT 3\ndefQUIT\n`, { message });
  assert.deepEqual(codes(chunks.replies), ['250', '250', '554', '503', '221']);
});

test('endless data is cut', async () => {
  const message = (): Promise<string> => Promise.resolve('552 5.3.4 too large');
  const { replies } = await talk(`${ENVELOPE}DATA\n${`${'x'.repeat(500)}\n`.repeat(40)}.\nQUIT\n`, { message });
  assert.deepEqual(codes(replies), ['250', '250', '354', '421']);
});

// RFC 5321 §4.1, §4.1.1.5, §4.2
test('out of turn, unknown, misspelled: a reply each, and an end to it', async () => {
  const cases: readonly (readonly [string, string])[] = [
    ['RCPT TO:<b@x.test>', '503'],
    ['DATA', '503'],
    ['BDAT 0', '503'],
    ['MAIL FROM:<a', '501'],
    ['MAIL TO:<a@x.test>', '501'],
    ['MAIL FROM:<a@x.test> SIZE=99999', '552'],
    ['MAIL FROM:<a@x.test> SIZE=x', '501'],
    ['MAIL FROM:<a@x.test> BODY=BINARYMIME', '555'],
    ['MAIL FROM:<a@x.test> FOO=1', '555'],
    ['MAIL FROM:<a@x.test> RET=ALL', '501'],
    ['MAIL FROM:<a@x.test> ENVID=a+', '501'],
    ['MAIL FROM:<a@x.test> SIZE=1 SIZE=2', '501'],
    ['AUTH PLAIN', '503'],
    ['STARTTLS', '503'],
    ['EXPN x', '500'],
    ['HELO x', '250'],
    ['HELP', '214'],
    ['VRFY x', '252'],
    ['RSET', '250'],
    ['BDAT x', '501'],
  ];
  for (const [line, code] of cases) assert.equal(codes((await talk(`${line}\n`)).replies)[0], code, line);
  const inside: readonly (readonly [string, string])[] = [
    ['MAIL FROM:<a@x.test>', '503'],
    ['RCPT TO:<>', '501'],
    ['RCPT TO:<b@x.test> NOTIFY=NEVER,DELAY', '501'],
    ['RCPT TO:<b@x.test> NOTIFY', '501'],
    ['RCPT TO:<b@x.test> ORCPT=x', '501'],
    ['RCPT TO:<b@x.test> X=1', '555'],
    ['RCPT TO:<bad@x.test>', '550'],
    ['DATA x', '501'],
    ['DATA', '503'],
  ];
  for (const [line, code] of inside)
    assert.equal(codes((await talk(`MAIL FROM:<a@x.test>\n${line}\n`)).replies)[1], code, line);
  const { replies } = await talk('FOO\n'.repeat(30));
  assert.deepEqual([replies.length, codes(replies).at(-1)], [11, '421']);
  assert.deepEqual(codes((await talk(`${'x'.repeat(5000)}\n`)).replies), ['500']);
});

// RFC 2920 §3.2
test('replies to commands that came together leave together', async () => {
  const { replies } = await talk(`${ENVELOPE}DATA\na: b\n.\nQUIT\n`);
  assert.deepEqual(codes(replies), ['250', '250', '354', '250', '221']);
});

// RFC 5321 §4.1.2, RFC 3461 §4
test('paths and xtext', () => {
  assert.deepEqual(parsePath('TO', 'TO:<@a,@b:c@d.test>')?.address, 'c@d.test');
  assert.deepEqual(parsePath('FROM', 'from: <"a>b"@x.test>')?.address, '"a>b"@x.test');
  assert.deepEqual(parsePath('FROM', 'FROM:a@x.test')?.address, 'a@x.test');
  assert.equal(parsePath('FROM', 'FROM:<a@x.test'), undefined);
  assert.equal(parsePath('FROM', 'FROM:<a@x.test> <'), undefined);
  assert.equal(decodeXtext('a+3Db'), 'a=b');
  assert.equal(decodeXtext('a=b'), undefined);
  fc.assert(
    fc.property(
      fc.string({ unit: fc.integer({ min: 0, max: 127 }).map((one) => String.fromCharCode(one)) }),
      (text) => {
        assert.equal(decodeXtext(encodeXtext(text)), text);
      },
    ),
  );
});

test('S4: replies leave at 16 KiB, however much input waits, and wait for the peer to read them', async () => {
  const socket = new MemorySocket();
  const writes: number[] = [];
  socket._write = (chunk: Buffer | string) => void writes.push(chunk.length); // never done: the peer reads nothing
  const stop = new AbortController();
  const served = serveMail(new Conn(socket), {
    hostname: 'gate.example',
    maxOctets: 10_000,
    lineOctets: 2048,
    signal: stop.signal,
    mail: () => Promise.reject(new Error('not asked for')),
    rcpt: () => Promise.reject(new Error('not asked for')),
    message: () => Promise.reject(new Error('not asked for')),
  });
  // The end of every piece is in the middle of a command: input waits at all times.
  let taken = 0;
  for (let turns = 0; turns < 2000 && !(socket.isPaused() && writes.length > 0); turns++) {
    if (!socket.isPaused()) {
      const piece = Buffer.from(`OP\r\n${'NOOP\r\n'.repeat(5000)}NO`);
      socket.feed(taken === 0 ? piece.subarray(4) : piece);
      taken += 1;
    }
    await new Promise((turn) => setImmediate(turn));
  }
  assert.ok(taken < 20, `${taken} pieces were read`);
  assert.deepEqual(writes.length > 0 && Math.max(...writes) < 17 * 1024, true, writes.join(' '));
  // The session ends when it is told to, though its peer still reads nothing.
  stop.abort(new Error('enough'));
  await assert.rejects(served, /enough/);
  socket.destroy();
});
