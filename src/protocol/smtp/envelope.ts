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
