/** MAIL and RCPT: paths and parameters (RFC 5321 §4.1.2, RFC 1870 SIZE, RFC 6152 BODY, RFC 6531 SMTPUTF8, RFC 3461 DSN). */

export interface Path {
  /** Without the angle brackets; empty for the null reverse-path. Not judged here. */
  readonly address: string;
  /** Names in upper case; undefined where no value was given. */
  readonly parameters: ReadonlyMap<string, string | undefined>;
}

/** The argument of `MAIL FROM:` or `RCPT TO:`; undefined when it is none. Source routes are dropped (RFC 5321 §C). */
export function parsePath(keyword: 'FROM' | 'TO', argument: string): Path | undefined {
  const found = /^(FROM|TO):[ \t]*(?:<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>|([^\s<>]+))((?:[ \t]+[^ \t]+)*)[ \t]*$/i.exec(
    argument,
  );
  if (found?.[1]?.toUpperCase() !== keyword) return undefined;
  const address = (found[2] ?? found[3] ?? '').replace(/^@[^:]*:/, '');
  const parameters = new Map<string, string | undefined>();
  for (const word of found[4]!.split(/[ \t]+/)) {
    if (word === '') continue;
    const at = word.indexOf('=');
    const name = (at === -1 ? word : word.slice(0, at)).toUpperCase();
    if (!/^[A-Z0-9][A-Z0-9-]*$/.test(name) || parameters.has(name)) return undefined;
    parameters.set(name, at === -1 ? undefined : word.slice(at + 1));
  }
  return { address, parameters };
}

/** Octets of text that anybody can show in a line. */
const isShown = (text: string | undefined): boolean => text !== undefined && /^[\x20-\x7e]*$/.test(text);
const isXtext = (text: string, most: number): boolean => text.length <= most && isShown(decodeXtext(text));
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i;
/** Keywords of NOTIFY (RFC 3461 §4.1): NEVER alone, or others. */
const NOTIFY = /^(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,9})$/i;

/** RFC 3461 §4.2: type and xtext; for `utf-8` as RFC 6533 §3 writes it, with characters beyond ASCII as they are. */
function isOriginal(value: string): boolean {
  const [, type = '', address = ''] = /^([A-Za-z0-9-]{1,40});(.+)$/s.exec(value) ?? [];
  if (type === '' || value.length > 500) return false;
  const ascii = type.toLowerCase() === 'utf-8' ? address.replaceAll(/[^\0-\x9f\u2028\u2029]/g, 'x') : address;
  return ascii !== '' && isShown(decodeXtext(ascii));
}

type Value = (value: string) => boolean;
const WITHOUT = 'none';

/** What each parameter that may be passed on takes; every value is one of `esmtp-value` (RFC 5321 §4.1.2). */
const VALUES: Readonly<Record<string, Value | typeof WITHOUT>> = {
  SIZE: (value) => /^\d{1,20}$/.test(value), // RFC 1870 §3
  BODY: (value) => /^(?:7BIT|8BITMIME|BINARYMIME)$/i.test(value), // RFC 6152 §3, RFC 3030 §3
  SMTPUTF8: WITHOUT, // RFC 6531 §3.4
  REQUIRETLS: WITHOUT, // RFC 8689 §4.1
  RET: (value) => /^(?:FULL|HDRS)$/i.test(value), // RFC 3461 §4.3
  ENVID: (value) => value !== '' && isXtext(value, 100), // RFC 3461 §4.4
  BY: (value) => /^[+-]?\d{1,9};[NR]T?$/i.test(value), // RFC 2852 §4
  HOLDFOR: (value) => /^\d{1,9}$/.test(value), // RFC 4865 §4
  HOLDUNTIL: (value) => TIME.test(value),
  'MT-PRIORITY': (value) => /^-?\d$/.test(value), // RFC 6710 §6
  NOTIFY: (value) => NOTIFY.test(value),
  ORCPT: isOriginal,
  RRVS: (value) => TIME.test(value.replace(/;[CR]$/i, '')), // RFC 7293 §3.1
};

/** Whether a parameter has the value, or none, that its RFC gives it; a name that is not known here has not. */
export function isParameter(name: string, value: string | undefined): boolean {
  const takes = Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
  if (takes === undefined) return false;
  return takes === WITHOUT ? value === undefined : value !== undefined && takes(value);
}

/** RFC 3461 §4: `+3D` for `=`; undefined for what is no xtext. */
export function decodeXtext(text: string): string | undefined {
  if (!/^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*$/.test(text)) return undefined;
  return text.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The reverse of {@link decodeXtext}; characters beyond ASCII are for `utf-8-addr-xtext`, which ORCPT names itself. */
export function encodeXtext(text: string): string {
  return text.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x7e]/g, (one) =>
    [...Buffer.from(one)].map((octet) => `+${octet.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
