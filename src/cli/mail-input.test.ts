import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readMail } from './mail-input.ts';

async function* cut(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const size = sizes[turn % Math.max(1, sizes.length)] ?? text.length;
    yield Buffer.from(text.slice(at, at + size), 'latin1');
    at += size;
  }
}

async function read(text: string, dots: boolean, sizes: readonly number[] = []): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of (await readMail(cut(text, sizes), dots)).octets) pieces.push(piece);
  return Buffer.concat(pieces).toString('latin1');
}

/** The same on the whole text at once. */
function whole(text: string, dots: boolean): string {
  const lines = `\r\n${text.replace(/\r+\n|\r|\n/g, '\r\n')}`;
  const stop = dots ? -1 : lines.indexOf('\r\n.\r\n');
  const body = stop === -1 ? lines.slice(2) : lines.slice(2, stop + 2);
  const ended = body === '' || body.endsWith('\r\n') ? body : `${body}\r\n`;
  // Nothing of this alphabet is a field: what does not begin with an empty line has no header.
  return ended === '' || ended.startsWith('\r\n') ? ended : `\r\n${ended}`;
}

test('line ends and the stop line are the same wherever the pieces are cut', async () => {
  const mail = fc.array(fc.constantFrom('\r', '\n', '.', 'a', '\u00e4'), { maxLength: 30 }).map((all) => all.join(''));
  await fc.assert(
    fc.asyncProperty(
      mail,
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
      async (...given) => {
        const [text, dots, sizes] = given;
        assert.equal(await read(text, dots, sizes), whole(text, dots));
      },
    ),
    { numRuns: 1000 },
  );
});

test('a lone dot ends the message, and only there', async () => {
  assert.equal(await read('A: b\n\nx\n.\ny\n', false), 'A: b\r\n\r\nx\r\n');
  assert.equal(await read('A: b\n\nx\n.\ny', true), 'A: b\r\n\r\nx\r\n.\r\ny\r\n');
  assert.equal(await read('A: b\n\n.x\n', false), 'A: b\r\n\r\n.x\r\n');
  assert.equal(await read('.\nrest', false), '');
  assert.equal(await read('', false), '');
});

test('no more than the header is read before somebody wants the rest', async () => {
  let pulled = 0;
  async function* endless(): AsyncGenerator<Uint8Array, void, void> {
    yield Buffer.from('A: b\n');
    yield Buffer.from('\nbody\n');
    for (;;) {
      pulled += 1;
      yield Buffer.alloc(65_536, 'x');
    }
  }
  const { header, octets } = await readMail(endless(), false);
  assert.equal(header.toString(), 'A: b\r\n\r\n');
  assert.equal(pulled, 0);
  let taken = 0;
  for await (const piece of octets) if ((taken += piece.length) > 1_000_000) break;
  assert.ok(pulled < 20, `${pulled} pieces`);
});

test('a header without end is given up on', async () => {
  async function* endless(): AsyncGenerator<Uint8Array, void, void> {
    for (;;) yield Buffer.alloc(65_536, 'x');
  }
  assert.ok((await readMail(endless(), false)).header.length < 1_000_000);
});

test('F36, F46: a message without a header is a body, and one that begins with a field or an mbox line is not', async () => {
  assert.equal(await read('disk full\n', false), '\r\ndisk full\r\n');
  assert.equal((await readMail(cut('disk full: /var', [3]), false)).header.toString(), '\r\n');
  assert.equal(
    await read('Warning: disk full\n/dev/sda1 99%\nSubject: y\n', false, [5]),
    'Warning: disk full\r\n\r\n/dev/sda1 99%\r\nSubject: y\r\n',
  );
  assert.equal(
    (await readMail(cut('Subject: x\n folded\nnot: \nplain text\n', [3]), false)).header.toString(),
    'Subject: x\r\n folded\r\nnot: \r\n\r\n',
  );
  for (const line of ['Subject: x', 'Subject : x', 'From root@vm Mon Nov 30 10:00:00 2026', ''])
    assert.equal(await read(`${line}\n\nhi\n`, false, [2]), `${line}\r\n\r\nhi\r\n`);
});
