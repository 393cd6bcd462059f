/**
 * INI files as Python's configparser reads them with its defaults: sections, `key = value` or `key: value`, values that go on
 * in deeper indented lines, whole-line comments. Keys are lower case; nothing is interpolated. What `[DEFAULT]` says holds in
 * every section that does not say otherwise.
 */
import { importError } from './errors.ts';

export type IniSection = Readonly<Record<string, string>>;

/** Section names in the order of the file. @throws import.garbled, with the line */
export function readIni(text: string): ReadonlyMap<string, IniSection> {
  const sections = new Map<string, Record<string, string>>();
  let section: Record<string, string> | undefined;
  let key: string | undefined;
  let indent = 0;
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const content = line.trim();
    if (content === '' || content.startsWith('#') || content.startsWith(';')) continue;
    const depth = line.length - line.trimStart().length;
    if (section && key !== undefined && depth > indent) {
      section[key] = `${section[key]!}\n${content}`;
      continue;
    }
    indent = depth;
    // As configparser: up to the last bracket, and whatever stands behind it is ignored.
    const end = content.startsWith('[') ? content.lastIndexOf(']') : -1;
    if (end > 1) {
      const name = content.slice(1, end);
      if (sections.has(name)) throw broken(index, `the section ${name} is there twice`);
      sections.set(name, (section = Object.create(null) as Record<string, string>));
      key = undefined;
      continue;
    }
    const sign = content.search(/[=:]/);
    if (!section || sign <= 0) throw broken(index, 'this is neither a section nor a setting');
    key = content.slice(0, sign).trimEnd().toLowerCase();
    if (key in section) throw broken(index, `${key} is there twice`);
    section[key] = content.slice(sign + 1).trimStart();
  }
  const defaults = sections.get('DEFAULT');
  if (defaults === undefined) return sections;
  sections.delete('DEFAULT');
  return new Map([...sections].map(([name, own]) => [name, { ...defaults, ...own }]));
}

const broken = (index: number, why: string): Error =>
  importError('import.garbled', `the file cannot be read: line ${index + 1}: ${why}`);
