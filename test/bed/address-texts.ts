/** Address lists as nobody writes them: what readers of mail might disagree about, put together by a seed. */
import { readAddressList } from '../../src/protocol/mime/address-list.ts';

const PIECES = [
  'alice@x.test',
  'eve@y.test',
  '<alice@x.test>',
  '<eve@y.test>',
  '=?utf-8?q?eve=40y.test=2C?=',
  '=?utf-8?q?=3Ceve=40y=2Etest=3E?=',
  ...`()"\\,;:<>[]@.'a \t\u0001\f\u00a0é`.split(''),
  '=?',
  '?=',
  'eve',
  'alice',
  'x.test',
  ', ',
  ' (a note)',
  '"a name" ',
];

/** As many different texts, each of which the judge reads as addresses, with these. */
export function readableTexts(seed: number, tries: number): ReadonlyMap<string, readonly string[]> {
  let state = seed;
  const random = (below: number): number => {
    // xorshift, 32 bits: the same texts on every machine.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const found = new Map<string, readonly string[]>();
  for (let at = 0; at < tries; at++) {
    const text = Array.from({ length: 1 + random(9) }, () => PIECES[random(PIECES.length)]!)
      .join('')
      .replace(/^[ \t]+|[ \t]+$/g, '');
    const { addresses, problem } = readAddressList(text);
    const names = addresses.map(({ address }) => address).filter((address) => address.includes('@'));
    if (problem === undefined && names.length > 0) found.set(text, names.toSorted());
  }
  return found;
}
