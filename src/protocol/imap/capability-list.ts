/** Where a response line lists capabilities. */

/**
 * The names in a CAPABILITY response or in a response code of that name (RFC 9051 §7.1, §7.2.2): from where to where they stand
 * in the line; undefined where it lists none. Linear in the length of the line, whatever it holds.
 */
export function capabilityList(line: string): { readonly from: number; readonly to: number } | undefined {
  if (RESPONSE.test(line)) return { from: '* CAPABILITY '.length, to: orEnd(line, line.indexOf(']')) };
  const code = line.search(CODE);
  if (code === -1) return undefined;
  const from = code + '[CAPABILITY '.length;
  return { from, to: orEnd(line, line.indexOf(']', from)) };
}

const RESPONSE = /^\* CAPABILITY /i;
const CODE = /\[CAPABILITY /i;

function orEnd(line: string, at: number): number {
  return at === -1 ? line.length : at;
}
