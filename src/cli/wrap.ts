/** Lines of at most so many columns, broken between words; a word that is longer, such as a link, stays whole. */
export function wrap(text: string, width: number): readonly string[] {
  const indent = text.startsWith('- ') ? '  ' : '';
  const result: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      result.push(line);
      line = `${indent}${word}`;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...result, line];
}
