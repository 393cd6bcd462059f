/** Words of ours as mail protocols carry them: one line of printable ASCII. Typographic signs become what a keyboard has. */

const SIGNS: Readonly<Record<string, string>> = {
  '’': "'",
  '‘': "'",
  '“': '"',
  '”': '"',
  '–': '-',
  '—': '-',
  '…': '...',
};

/** @param most octets; what is longer ends in three dots */
export function asciiLine(words: string, most: number): string {
  const text = words
    .slice(0, 4 * most)
    .replace(/[’‘“”–—…]/g, (sign) => SIGNS[sign] ?? sign)
    .replace(/ ?§ ?/g, ' section ')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return text.length > most ? `${text.slice(0, most - 3)}...` : text;
}
