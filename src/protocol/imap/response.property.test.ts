/** Responses of servers: the same however the octets are cut, and nothing but a refusal for what is none. `response.fuzz.ts` runs more. */
import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import fc from 'fast-check';
import { segmentsOf } from '../../../test/bed/imap-responses.ts';
import { MemorySocket } from '../../../test/bed/memory-socket.ts';
import { isError } from '../../base/error.ts';
import { Conn } from '../wire/conn.ts';
import { parseResponse } from './response.ts';
import { type ResponseSegments, lineOf } from './response-reader.ts';
import { ImapSession, SESSION_LIMITS } from './session.ts';

const RUNS = Number(process.env['POSTERN_SOAK_RUNS'] ?? 300);

const characters = (text: string): string[] => text.split('');
const astring = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9$.]{1,12}$/),
  fc
    .string({ unit: fc.constantFrom(...characters(' abc"\\(){}[]%*\xe4')) })
    .map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`),
  fc
    .string({ unit: fc.constantFrom(...characters('ab\r\n(){}"* +\0\xff0123')) })
    .map((text) => `{${text.length}}\r\n${text}`),
);
const value: fc.Arbitrary<string> = fc.letrec<{ value: string; list: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, astring, fc.constant('NIL'), tie('list')),
  list: fc.array(tie('value'), { maxLength: 4 }).map((values) => `(${values.join(' ')})`),
})).value;
const response = fc.oneof(
  fc
    .array(value, { minLength: 1, maxLength: 5 })
    .map((values) => `* 3 FETCH (${values.map((one, at) => `BODY[${at}] ${one}`).join(' ')})\r\n`),
  fc.stringMatching(/^[ -Z^-~][ -~]{0,40}$/).map((text) => `* OK ${text}\r\n`),
  astring.map((name) => `* LIST (\\Noselect) "/" ${name}\r\n`),
);

// RFC 9051 §2.2.2, §4.3
test('property: however the octets are cut, the responses are the same', () => {
  fc.assert(
    fc.property(fc.array(response, { maxLength: 5 }), fc.array(fc.nat(400), { maxLength: 30 }), (texts, places) => {
      const octets = Buffer.from(texts.join(''), 'latin1');
      const whole = segmentsOf([octets]);
      assert.deepEqual(segmentsOf(cut(octets, places)), whole);
      assert.equal(whole.length, texts.length, 'as many responses as were written');
      assert.deepEqual(
        whole.map((one) => parseResponse(one).type),
        texts.map((text) => (text.startsWith('* OK') ? 'status' : text.startsWith('* LIST') ? 'list' : 'fetch')),
      );
    }),
    { numRuns: RUNS },
  );
});

test('property: any octets give responses or one refusal, never anything else', () => {
  const noise = fc.string({
    unit: fc.constantFrom(...characters('* 1 FETCH(BODY[]<0>{}"\\\r\n)+OKqNIL')),
    maxLength: 200,
  });
  fc.assert(
    fc.property(noise, (text) => {
      try {
        segmentsOf([Buffer.from(text)], { line: 100, literal: 100, response: 200 }).map(parseResponse);
      } catch (error) {
        if (!(error instanceof assert.AssertionError)) assert.match((error as { code: string }).code, /^wire\./);
      }
    }),
    { numRuns: RUNS },
  );
});

/** Cuts octets into pieces at these places. */
function cut(octets: Buffer, places: readonly number[]): readonly Buffer[] {
  const cuts = [0, ...places.map((at) => Math.min(at, octets.length)), octets.length].toSorted((a, b) => a - b);
  return cuts.slice(1).map((end, at) => octets.subarray(cuts[at], end));
}

/** What a session makes of a server that says this to its first command. */
async function heard(pieces: readonly Buffer[], hands: boolean): Promise<readonly string[]> {
  const socket = new MemorySocket();
  const session = new ImapSession(new Conn(socket), { host: 'mail.test', limits: { ...SESSION_LIMITS, line: 4096 } });
  const out: string[] = [];
  const running = session
    .run('NOOP', {
      untagged: (response, segments) => void out.push(`${response.type} ${written(segments)}`),
      // Half of them read to their end, the others left.
      literal: ({ octets }) =>
        !hands || octets % 3 === 0
          ? undefined
          : async (stream) => {
              let text = '';
              for await (const piece of stream) {
                text += piece.toString('latin1');
                if (octets % 3 === 1) break;
              }
              if (octets % 3 === 2) out.push(`literal ${text}`);
            },
    })
    .catch((error: unknown) => error);
  for (const piece of pieces) {
    socket.feed(piece);
    if (piece.length % 2 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  socket.finish();
  const end = await running;
  socket.destroy();
  assert.ok(isError(end) || !(end instanceof Error), String(end));
  out.push(isError(end) ? end.code : (end as { status: string }).status);
  return out;
}

/** With the literals that were kept. */
function written(segments: ResponseSegments): string {
  return segments.map((one) => (typeof one === 'string' ? one : (one.data?.toString('latin1') ?? '-'))).join('|');
}

test('property: a session hears the same however the octets are cut, literals kept or taken as they come', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(response, { maxLength: 5 }),
      fc.constantFrom('q1 OK done\r\n', 'q1 NO no\r\n', 'q2 OK done\r\n', '* BYE over\r\n', ''),
      fc.array(fc.nat(400), { maxLength: 20 }),
      fc.boolean(),
      async (texts, end, places, hands) => {
        const octets = Buffer.from(texts.join('') + end, 'latin1');
        const whole = await heard([octets], hands);
        assert.deepEqual(await heard(cut(octets, places), hands), whole);
        const ends = end.startsWith('q1')
          ? end.slice(3, 5).trim()
          : end.startsWith('q2')
            ? 'wire.syntax'
            : 'wire.closed';
        assert.equal(whole.at(-1), ends);
        assert.equal(whole.filter((one) => !one.startsWith('literal ')).length, texts.length + 1);
      },
    ),
    { numRuns: RUNS },
  );
});

test('property: a spoiled transcript ends in a refusal or in responses, the same however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(response, { maxLength: 4 }),
      fc.array(fc.tuple(fc.nat(400), fc.constantFrom(...characters('\r\n{}()"\\ *+1\0'))), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.array(fc.nat(400), { maxLength: 20 }),
      async (texts, spoiled, places) => {
        const octets = Buffer.from(`${texts.join('')}q1 OK done\r\n`, 'latin1');
        for (const [at, char] of spoiled) octets.write(char, at % octets.length, 'latin1');
        assert.deepEqual(await heard(cut(octets, places), true), await heard([octets], true));
      },
    ),
    { numRuns: RUNS },
  );
});

test('a response as one line has empty strings for its literals', () => {
  const [only] = segmentsOf([Buffer.from('* 1 FETCH (BODY[] {3}\r\nabc UID 7)\r\n')]);
  assert.equal(lineOf(only!), '* 1 FETCH (BODY[] "" UID 7)');
});
