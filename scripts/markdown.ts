/** Pieces of the pages that are made from the code. */

export const MADE = '<!-- Made by `npm run docs`; edit the code it is made from instead. -->';

export const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;');
export const code = (text: string): string => `\`${text.replaceAll('|', '\\|')}\``;
export const rows = (heading: readonly string[], lines: readonly (readonly string[])[]): readonly string[] => [
  `| ${heading.join(' | ')} |`,
  `|${heading.map(() => '---').join('|')}|`,
  ...lines.map((line) => `| ${line.join(' | ')} |`),
];
export const page = (lines: readonly string[]): string => `${lines.join('\n').trimEnd()}\n`;
