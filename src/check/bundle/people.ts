/** Putting other names in the place of mailbox addresses, in time by the length of the text. */

/** @param names address in lower case, or as people write it → what replaces it */
export function pseudonymizer(names: ReadonlyMap<string, string>): (text: string) => string {
  /** Domain → length of the local part, longest first → local part → name. */
  const domains = new Map<string, Map<number, Map<string, string>>>();
  for (const [address, name] of [...names].sort(([a], [b]) => b.length - a.length)) {
    // As it is, and as mail programs' logs and SASL responses write it.
    for (const written of new Set([address.toLowerCase(), encodeURIComponent(address).toLowerCase()])) {
      const { local, domain } = divide(written);
      const lengths = domains.get(domain) ?? new Map<number, Map<string, string>>();
      const locals = lengths.get(local.length) ?? new Map<string, string>();
      domains.set(domain, lengths.set(local.length, locals.set(local, name)));
    }
  }
  if (domains.size === 0) return (text) => text;
  return (text) => {
    let changed = '';
    let from = 0;
    for (const { index, 0: sign } of text.matchAll(SIGN)) {
      const end = domainEnd(text, index + sign.length);
      const domain = text.slice(index + sign.length, end).toLowerCase();
      const lengths = domains.get(domain);
      if (!lengths) continue;
      const found = nameBefore(text, index, from, lengths);
      if (!found) continue;
      changed += text.slice(from, found.start) + found.name;
      from = end;
    }
    return from === 0 ? text : changed + text.slice(from);
  };
}

const SIGN = /@|%40/gi;
/** RFC 1035 §2.3.4. */
const LONGEST_DOMAIN = 253;

function divide(address: string): { readonly local: string; readonly domain: string } {
  const at = Math.max(address.lastIndexOf('@'), address.lastIndexOf('%40'));
  return { local: address.slice(0, at), domain: address.slice(address[at] === '@' ? at + 1 : at + 3) };
}

/** Up to where the domain goes that begins here; a stop or dash at its end is the sentence's. */
function domainEnd(text: string, from: number): number {
  let end = from;
  while (end < text.length && end - from < LONGEST_DOMAIN && /[\w.-]/.test(text[end]!)) end += 1;
  while (end > from && (text[end - 1] === '.' || text[end - 1] === '-')) end -= 1;
  return end;
}

function nameBefore(
  text: string,
  at: number,
  least: number,
  lengths: ReadonlyMap<number, ReadonlyMap<string, string>>,
): { readonly start: number; readonly name: string } | undefined {
  for (const [length, locals] of lengths) {
    const start = at - length;
    const name = start < least ? undefined : locals.get(text.slice(start, at).toLowerCase());
    if (name !== undefined) return { start, name };
  }
  return undefined;
}
