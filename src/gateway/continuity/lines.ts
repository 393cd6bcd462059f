/** Lines as octets of a chunk. */

const LF = 0x0a;
const CR = 0x0d;
/** Beyond it octets are looked at by faster means. */
const SHORT = 512;

/**
 * True for the chunk that nearly every command and answer is: one whole line of at most 512 octets, here without one octet. Looks
 * at each, because that is faster than two calls out of the engine.
 */
export function isLoneLine(bytes: Buffer, without: number): boolean {
  const last = bytes.length - 1;
  if (last >= SHORT || bytes[last] !== LF) return false;
  for (let at = 0; at < last; at++) if (bytes[at] === LF || bytes[at] === without) return false;
  return true;
}

/** The line at `at` whose LF is at `lf`, without CRLF, one octet per character. */
export function textOf(data: Buffer, at: number, lf: number): string {
  return data.toString('latin1', at, data[lf - 1] === CR ? lf - 1 : lf);
}
