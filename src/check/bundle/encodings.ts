/** Ways in which a text may be written inside another one, as log lines and error messages do. Linear in the length of the text. */

export interface Encoding {
  /** Whole runs; what is shorter cannot hold a secret. */
  readonly pattern: RegExp;
  /** What a run may stand for. */
  decode(run: string): readonly Buffer[];
}

/** Something joined in front by a character of the alphabet (`sasl-AGFs…`, `/x/AGFs…`) shifts the octets: read behind it too. */
function readings(word: string): readonly Buffer[] {
  const joints = [...word.slice(0, JOINED).matchAll(/[-_/+]/g)].map(({ index }) => index + 1);
  // So does what is joined without one (`saslAGFs…`): each of the four places in a group is tried.
  return [...new Set([0, 1, 2, 3, ...joints])].map((from) => base64(word.slice(from)));
}

/** A label in front is no longer than this. */
const JOINED = 24;

function base64(word: string): Buffer {
  return Buffer.from(word, /[-_]/.test(word) ? 'base64url' : 'base64');
}

/** @param pattern its first group is hexadecimal, its second decimal */
function numbers(run: string, pattern: RegExp): readonly Buffer[] {
  const letters = Array.from(run.matchAll(pattern), ([, hex, decimal]) =>
    String.fromCharCode((hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)) & 0xffff),
  );
  return [Buffer.from(letters.join(''))];
}

export const ENCODINGS: readonly Encoding[] = [
  // In lines, with line ends as they are or as text, or in two parts: first, since a part may look whole.
  {
    pattern:
      /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{16,}={0,2}(?:(?:(?:\r?\n|(?:\\r)?\\n|=\r?\n)[ \t]{0,8}[A-Za-z0-9+/_-]{4,}| [A-Za-z0-9+/_-]{16,})={0,2})+/g,
    decode: (run) => readings(run.replace(/=?\r?\n|(?:\\r)?\\n|[ \t]/g, '')),
  },
  { pattern: /[A-Za-z0-9+/_-]{16,}={0,2}/g, decode: readings },
  { pattern: /[0-9a-f]{32,}/gi, decode: (run) => [Buffer.from(run, 'hex'), Buffer.from(run.slice(1), 'hex')] },
  {
    pattern: /(?:[0-9a-f]{2}[:, -]){15,}[0-9a-f]{2}(?![0-9a-z])/gi,
    decode: (run) => [Buffer.from(run.replace(/[:, -]/g, ''), 'hex')],
  },
  { pattern: /(?:%[0-9a-f]{2}){8,}/gi, decode: (run) => [Buffer.from(run.replaceAll('%', ''), 'hex')] },
  { pattern: /(?:\\x[0-9a-f]{2}){8,}/gi, decode: (run) => [Buffer.from(run.replace(/\\x/gi, ''), 'hex')] },
  { pattern: /(?:\\u[0-9a-f]{4}){8,}/gi, decode: (run) => numbers(run, /\\u([0-9a-f]{4})/gi) },
  { pattern: /(?:&#(?:x[0-9a-f]+|\d+);){8,}/gi, decode: (run) => numbers(run, /&#(?:x([0-9a-f]+)|(\d+));/gi) },
  { pattern: /(?:\d{1,3},[ \n]{0,9}){15,}\d{1,3}/g, decode: (run) => numbers(run, /x([0-9a-f]+)|(\d+)/g) },
];

/** UTF-16 holds a zero beside every letter. */
export function withoutZeros(octets: Buffer): string | undefined {
  let zeros = 0;
  for (const octet of octets) if (octet === 0) zeros += 1;
  return zeros * 3 > octets.length ? octets.toString('latin1').replaceAll('\0', '') : undefined;
}
