/**
 * Reading takes time by the length of what is read, not by its square. Each reader of what comes from outside gets its worst
 * texts in three sizes; four times the text may take eight times as long. Measured by this process's own processor time, the least
 * of several tries, and only where it is enough to be measured, so that a busy machine does not matter.
 */
import { test } from 'node:test';
import { grows } from './bed/growth.ts';
import { PIECES, READERS } from './bed/readers.ts';
import { DIALOGUES, SESSION_PIECES, SESSION_READERS } from './bed/session-readers.ts';

const KIB = 1024;
/** What takes the square shows at the second: only that is measured at all three. */
const SIZES = [32 * KIB, 128 * KIB, 512 * KIB] as const;

const textOf = (piece: string, end: string, octets: number): string =>
  piece.repeat(Math.ceil(octets / piece.length)) + end;

for (const [name, read] of Object.entries(READERS))
  test(`S1, S3, S12: reading ${name} takes time by its length`, async () => {
    for (const piece of PIECES)
      for (const end of ['', '!', '\0'])
        await grows(
          (octets) => {
            const text = textOf(piece, end, octets);
            return () => read(text);
          },
          JSON.stringify(`${piece}…${end}`),
          SIZES,
        );
  });

for (const [name, read] of Object.entries(SESSION_READERS))
  test(`S12: reading ${name} in small pieces takes time by its length`, async () => {
    for (const piece of SESSION_PIECES)
      await grows(
        (octets) => {
          const text = textOf(piece, '', octets);
          return () => read(text);
        },
        JSON.stringify(piece),
        SIZES,
      );
  });

for (const [name, work] of Object.entries(DIALOGUES))
  test(`S12: ${name} take time by their number`, () =>
    grows((times) => () => work(times), name, [4 * KIB, 16 * KIB, 64 * KIB]));
