/** Address lists of header fields (RFC 5322 §3.4), as ENVELOPE shows them. */

export type Address =
  | { readonly type: 'mailbox'; readonly name: string | undefined; readonly local: string; readonly domain: string }
  | { readonly type: 'group-start'; readonly name: string }
  | { readonly type: 'group-end' };

const TOKEN = /"((?:\\.|[^"\\])*)"|\(((?:\\.|[^()\\])*)\)|<([^>]*)>|([,:;])|([^\s"(<,:;]+)/gs;

/** Lenient: what is no address is still shown, with an empty domain. One octet per character in and out. */
export function parseAddresses(value: string): Address[] {
  const out: Address[] = [];
  let words: string[] = [];
  let comment: string | undefined;
  let angle: string | undefined;
  let inGroup = false;
  const flush = (): void => {
    const spec = angle ?? words.join('');
    if (spec !== '') {
      const name = angle === undefined ? comment : words.join(' ') || comment;
      const bare = spec.replace(/^@[^:]*:/, '');
      const at = bare.lastIndexOf('@');
      const local = at === -1 ? bare : bare.slice(0, at);
      out.push({ type: 'mailbox', name, local: local.trim(), domain: at === -1 ? '' : bare.slice(at + 1).trim() });
    }
    words = [];
    comment = angle = undefined;
  };
  for (const [, quoted, remark, route, mark, word] of value.matchAll(TOKEN)) {
    if (quoted !== undefined) words.push(quoted.replace(/\\(.)/gs, '$1'));
    else if (remark !== undefined) comment = remark;
    else if (route !== undefined) angle = route;
    else if (word !== undefined) words.push(word);
    else if (mark === ':' && !inGroup) {
      out.push({ type: 'group-start', name: words.join(' ') });
      words = [];
      inGroup = true;
    } else {
      flush();
      if (mark === ';' && inGroup) {
        out.push({ type: 'group-end' });
        inGroup = false;
      }
    }
  }
  flush();
  if (inGroup) out.push({ type: 'group-end' });
  return out;
}
