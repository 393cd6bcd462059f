/**
 * Whether a server is certain to see commands begin and end where this gateway sees it (RFC 9051 §2.2, §4.3; RFC 7888). Servers
 * differ in what they do with malformed ones: some run the contents of a literal they refuse, some skip arguments they do not
 * know, some end a line at a bare CR. Whoever passes a session on to another program may not depend on which. No I/O.
 */
import type { Command } from './command.ts';
import { argumentsOf } from './commands-known.ts';

/** What ends a line at some servers and not at others. */
const UNSURE_OCTETS = /[\r\0]/;
/** `{`, no brace or quote, `}`: an announcement of a literal in a form that only some servers know. */
const BRACES = /[{][^{}"]{0,40}[}]$/;

/** True for a line, without CRLF and without the literal it may announce, that no server takes for more or less than one. */
export function isOneLine(text: string, announcesLiteral: boolean): boolean {
  if (UNSURE_OCTETS.test(text)) return false;
  if (text.includes('"') && !areClosed(text)) return false;
  return announcesLiteral ? /(?:^| |\()~?$/.test(text) : !(text.endsWith('}') && BRACES.test(text));
}

/**
 * True for a whole command that a server reads to its end before it does anything. A literal it has asked for it reads; of one
 * that came unasked (RFC 7888) that is known only where it belongs.
 */
export function isRead({ verb, line, segments, unasked }: Command): boolean {
  if (verb === 'IDLE') return line.length === verb.length;
  if (!unasked) return true;
  return argumentsOf(verb)?.test(lettersOf(segments, verb)) !== false;
}

function areClosed(text: string): boolean {
  let quoted = false;
  for (let at = text.indexOf('"'); at !== -1 && at < text.length; at++) {
    const char = text[at];
    if (char === '"') quoted = !quoted;
    else if (quoted && char === '\\') {
      at += 1;
      if (text[at] !== '"' && text[at] !== '\\') return false;
    }
  }
  return !quoted;
}

/** The letters of `ARGUMENTS` (commands-known.ts); `?` for what has no such form. */
function lettersOf(segments: Command['segments'], verb: string): string {
  let out = '';
  let depth = 0;
  let literalInList = false;
  /** Inside an atom, a quoted string, or right behind a string or list, where only a space may come. */
  let state: 'start' | 'atom' | 'quoted' | 'end' = 'start';
  const add = (letter: string): void => void (out += depth === 0 ? letter : '');
  for (const [index, segment] of segments.entries()) {
    if (typeof segment !== 'string') {
      if (state !== 'start') return '?';
      literalInList ||= depth > 0;
      add('l');
      state = 'end';
      continue;
    }
    const from = index === 0 ? segment.indexOf(' ') + 1 + verb.length : 0;
    for (let at = from; at < segment.length; at++) {
      const char = segment[at]!;
      if (state === 'quoted') {
        if (char === '\\') at += 1;
        else if (char === '"') state = 'end';
      } else if (char === ' ') state = 'start';
      else if (char === ')') {
        if (--depth < 0) return '?';
        add(literalInList ? 'L' : 'p');
        if (depth === 0) literalInList = false;
        state = 'end';
      } else if (state === 'end') return '?';
      else if (char === '(' && state === 'start') depth += 1;
      else if (char === '"' && state === 'start') {
        add('s');
        state = 'quoted';
      } else if (char === '~' && state === 'start' && at === segment.length - 1) continue; // literal8 (RFC 3516)
      else if (state === 'start') {
        add('a');
        state = 'atom';
      }
    }
  }
  return depth === 0 ? out : '?';
}
