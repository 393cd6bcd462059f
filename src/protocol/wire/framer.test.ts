/** The framer: however bytes are cut, the frames are the same, and the cost is linear. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import { Framer } from './framer.ts';

const LIMIT = 40;

type Shape = 'line' | 'counted' | 'dotted';

/** Feeds the chunks and takes `shapes` one after the other, then whatever lines follow; gives the frames and the error. */
function framesOf(chunks: readonly Buffer[], shapes: readonly Shape[]): readonly string[] {
  const framer = new Framer();
  const frames: string[] = [];
  let dotted = '';
  const take = (): boolean => {
    const shape = shapes[frames.length] ?? 'line';
    if (shape === 'dotted') {
      const piece = framer.dotted();
      if (piece === undefined) return false;
      dotted += piece.data.toString('latin1');
      if (!piece.done) return true;
      frames.push(`dotted ${dotted}`);
      dotted = '';
      return true;
    }
    const frame = shape === 'line' ? framer.line(LIMIT) : framer.counted(7);
    if (frame !== undefined) frames.push(`${shape} ${frame.toString('latin1')}`);
    return frame !== undefined;
  };
  try {
    for (const chunk of chunks) {
      framer.push(chunk);
      while (take());
    }
    return [...frames, `rest ${dotted}${framer.rest().toString('latin1')}`];
  } catch (error) {
    assert.ok(isError(error));
    return [...frames, error.code];
  }
}

function cut(stream: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    chunks.push(Buffer.from(stream.subarray(at, at + size)));
    at += size;
  }
  return chunks;
}

const stream = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r\n', '\r', '\n', '.', '..', '\r\n.\r\n', 'a NOOP\r\n', '{7}\r\n', 'x'.repeat(LIMIT - 1)),
      fc.string({ maxLength: 12 }),
    ),
    { maxLength: 20 },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 });
const shapes = fc.array(fc.constantFrom<Shape>('line', 'counted', 'dotted'), { maxLength: 8 });

// RFC 9051 §2.2, §4.3, RFC 5321 §2.3.8
test('a stream gives the same frames and the same offence however it is cut', () => {
  fc.assert(
    fc.property(stream, sizes, shapes, (bytes, steps, order) => {
      // A dotted piece may end mid-state, so that only its end is compared: nothing is left half taken.
      const whole = framesOf([bytes], order);
      const parts = framesOf(cut(bytes, steps), order);
      const dots = (frames: readonly string[]) => frames.filter((frame) => !frame.startsWith('rest '));
      assert.deepEqual(dots(parts), dots(whole));
    }),
    { numRuns: 2000 },
  );
});

test('frames handed out are not written over by what comes later', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 30 }), { minLength: 1, maxLength: 30 }), sizes, (texts, steps) => {
      const lines = texts.map((text) => text.replace(/[^\x20-\x7e]/g, '')).map((text) => text.slice(0, LIMIT));
      const framer = new Framer();
      const taken: Buffer[] = [];
      for (const chunk of cut(Buffer.from(lines.map((line) => `${line}\r\n`).join('')), steps)) {
        framer.push(chunk);
        for (let line = framer.line(LIMIT); line !== undefined; line = framer.line(LIMIT)) taken.push(line);
      }
      assert.deepEqual(
        taken.map((line) => line.toString()),
        lines,
      );
    }),
  );
});

const REFUSED: readonly (readonly [string, string, string])[] = [
  ['a bare LF', 'NOOP\n', 'wire.bare-newline'],
  ['a bare LF after a good line was cut', '\n', 'wire.bare-newline'],
  ['a bare CR', 'NOOP\rNOOP\r\n', 'wire.bare-newline'],
  ['CR CR LF', 'NOOP\r\r\n', 'wire.bare-newline'],
  ['a line one octet too long', `${'x'.repeat(LIMIT + 1)}\r\n`, 'wire.line-too-long'],
  ['an endless line', 'x'.repeat(LIMIT + 2), 'wire.line-too-long'],
];
for (const [name, bytes, code] of REFUSED)
  test(`${name} is refused with ${code}`, () => {
    const framer = new Framer();
    framer.push(Buffer.from(bytes));
    assert.throws(
      () => framer.line(LIMIT),
      (error) => isError(error, code),
    );
  });

test('a line may have exactly the limit, its CRLF not counted', () => {
  const framer = new Framer();
  for (const byte of `${'x'.repeat(LIMIT)}\r\n`) framer.push(Buffer.from(byte));
  assert.equal(framer.line(LIMIT)?.length, LIMIT);
  assert.ok(framer.drained);
});

// RFC 5321 §4.5.2, RFC 1939 §3
test('only CRLF dot CRLF ends a dotted run, and dots are unstuffed', () => {
  const framer = new Framer();
  framer.push(Buffer.from('..one\r\n.\ntwo\n.\r\nthree\r\n..\r\n.\r\nafter'));
  const piece = framer.dotted();
  assert.equal(piece?.done, true);
  assert.equal(piece?.data.toString(), '.one\r\n\ntwo\n.\r\nthree\r\n.\r\n');
  assert.equal(framer.rest().toString(), 'after');
});

test('a line that drips in octet by octet costs linear time', () => {
  const long = 400_000;
  const framer = new Framer();
  const start = performance.now();
  const one = Buffer.from('x');
  for (let n = 0; n < long; n++) {
    framer.push(one);
    assert.equal(framer.line(long), undefined);
  }
  framer.push(Buffer.from('\r\n'));
  assert.equal(framer.line(long)?.length, long);
  // Joining per chunk took minutes for this.
  assert.ok(performance.now() - start < 10_000);
});

test('counted runs drip in, and pieces are handed on as they come', () => {
  const framer = new Framer();
  assert.equal(framer.counted(0)?.length, 0);
  framer.push(Buffer.from('ab'));
  assert.equal(framer.counted(3), undefined);
  framer.push(Buffer.from('cd'));
  assert.equal(framer.counted(3)?.toString(), 'abc');
  assert.equal(framer.some(0), undefined);
  assert.equal(framer.some(9)?.toString(), 'd');
  assert.equal(framer.some(9), undefined);
});
