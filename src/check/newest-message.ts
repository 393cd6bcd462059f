/**
 * A look at the newest message over IMAP, for oddities that no reply names: a BODYSTRUCTURE that breaks the grammar and, where
 * asked, a message that the server cannot convert or whose size is wrong. EXAMINE and BODY.PEEK change nothing, but Exchange may
 * send a read receipt for what is fetched, so that is done only on request.
 */
import type { CatalogueRow } from '../oauth/catalogue/schema.ts';
import { catalogue } from '../oauth/catalogue/catalogue.ts';
import { describeRow, findRow, type Facts } from '../oauth/catalogue/diagnose.ts';
import { protocolError } from '../protocol/errors.ts';
import { announcedLiteral } from '../protocol/imap/token.ts';
import { refusal, type Session } from './first-command.ts';
import type { Found } from './step.ts';

const LINE_OCTETS = 256 * 1024;
const MOST_OCTETS = 1 << 20;
/** Lines and literals before a tagged answer; what is asked for has at most one literal of twice a message's most octets. */
const MOST_ANSWER = 3 * MOST_OCTETS;

/** @throws check.mailbox-closed, check.mailbox-busy, wire.* */
export async function lookAtNewest(session: Session, whole: boolean, facts: Facts): Promise<Found> {
  await command(session, 'c2', 'EXAMINE INBOX');
  const described = await command(session, 'c3', 'FETCH * (UID RFC822.SIZE BODYSTRUCTURE)');
  const size = Number(/RFC822\.SIZE (\d+)/i.exec(described.text)?.[1] ?? Number.NaN);
  const structure = structureIn(described.text);
  if (!isBodyStructure(structure)) return oddity('imap.malformed-structure', facts, { size });
  if (!whole || size > MOST_OCTETS) return { says: 'its structure follows the grammar', facts: { size } };
  const fetched = await command(session, 'c4', 'FETCH * (BODY.PEEK[])');
  const body = fetched.literals[0] ?? Buffer.alloc(0);
  if (NOTICE.test(body.toString('latin1', 0, 4096))) return oddity('imap.unretrievable', facts, { size });
  if (body.length !== size) return oddity('imap.size-estimated', facts, { size, octets: body.length });
  return { says: `it can be fetched: ${body.length} octets, as announced`, facts: { size } };
}

/** From the word BODYSTRUCTURE, which was asked for last, to the end of the FETCH; empty where it is not there. */
function structureIn(text: string): string {
  const at = text.search(/BODYSTRUCTURE \(/i);
  const rest = at === -1 ? '' : text.slice(at + 'BODYSTRUCTURE '.length).trimEnd();
  return rest.endsWith(')') ? rest.slice(0, -1) : '';
}

const NOTICE = /Retrieval using the IMAP4 protocol failed for the following message/i;

/** A warning for something the catalogue knows by this name. */
export function oddity(code: string, facts: Facts, seen: Readonly<Record<string, unknown>>): Found {
  const row: CatalogueRow | undefined = findRow({ ours: [{ code, reason: '' }] });
  const warning = row
    ? describeRow(row, facts, catalogue())
    : { id: code, cause: code, blame: 'provider' as const, remedy: [] };
  return { says: warning.cause, facts: { ...seen, oddity: code }, warning };
}

/** The catalogue's sentence for something it knows by this name. */
export function describeKnown(code: string): string {
  return findRow({ ours: [{ code, reason: '' }] })?.cause ?? code;
}

interface Answered {
  /** Untagged responses, one line, with `""` where a literal was. */
  readonly text: string;
  readonly literals: readonly Buffer[];
}

async function command({ conn, host, signal }: Session, tag: string, line: string): Promise<Answered> {
  await conn.write(`${tag} ${line}\r\n`);
  const literals: Buffer[] = [];
  const texts: string[] = [];
  let octetsRead = 0;
  const good = new RegExp(`^${tag} OK\\b`, 'i');
  const bad = new RegExp(`^(?:${tag} (?:NO|BAD)|\\* BYE)\\b`, 'i');
  for (;;) {
    const octets = await conn.line(LINE_OCTETS, signal);
    if (octets === undefined) throw protocolError('wire.closed', `${host} closed the connection`, { detail: { host } });
    octetsRead += octets.length;
    if (octetsRead > MOST_ANSWER)
      throw protocolError('wire.line-too-long', `${host} answers ${line} with more than ${MOST_ANSWER} octets`);
    const read = octets.toString('latin1');
    const literal = announcedLiteral(read);
    if (literal) {
      if (literal.octets > 2 * MOST_OCTETS)
        throw protocolError('wire.literal-too-long', `${host} announces ${literal.octets} octets`);
      octetsRead += literal.octets;
      literals.push(await conn.counted(literal.octets, signal));
      texts.push(literal.text, '""');
      continue;
    }
    if (good.test(read)) return { text: texts.join('').trimEnd(), literals };
    if (bad.test(read)) throw refusal(host, read.slice(read.indexOf(' ') + 1));
    if (!read.startsWith('*') && texts.length === 0) throw refusal(host, read);
    // Only the FETCH is of interest; what goes before and after it are flags and counts.
    if (texts.length > 0 || /^\* \d+ FETCH /i.test(read)) texts.push(read);
  }
}

type Node = string | null | readonly Node[];

/** RFC 9051 §9 `body`: parts, and in each a disposition that is NIL or a list of a string and parameters. */
export function isBodyStructure(text: string): boolean {
  const read = parse(text);
  return read !== undefined && isBody(read);
}

function isBody(node: Node): boolean {
  if (!Array.isArray(node)) return false;
  const list = node as readonly Node[];
  if (Array.isArray(list[0])) {
    const parts = list.findIndex((one) => !Array.isArray(one));
    const [, , disposition] = list.slice(parts);
    return (
      parts > 0 && typeof list[parts] === 'string' && list.slice(0, parts).every(isBody) && isDisposition(disposition)
    );
  }
  const [type, subtype, , , , encoding, octets] = list;
  if (typeof type !== 'string' || typeof subtype !== 'string' || typeof encoding !== 'string') return false;
  if (typeof octets !== 'string' || !/^\d+$/.test(octets)) return false;
  const isMessage = /^message$/i.test(type) && /^(?:rfc822|global)$/i.test(subtype);
  // What goes before the extension data: lines of a text, envelope, body and lines of a message.
  const basic = isMessage ? 10 : /^text$/i.test(type) ? 8 : 7;
  if (isMessage && !isBody(list[8] ?? null)) return false;
  return isDisposition(list[basic + 1]);
}

function isDisposition(node: Node | undefined): boolean {
  if (node === undefined || node === null) return true;
  if (!Array.isArray(node)) return false;
  const [kind, parameters] = node as readonly Node[];
  return typeof kind === 'string' && (parameters === null || Array.isArray(parameters));
}

/** Nested parts are walked by a function that calls itself; real messages stay below 20. */
const MOST_DEPTH = 200;

/** Lists, strings, numbers and NIL; undefined when brackets or quotes do not close, or lists are nested deeper than that. */
function parse(text: string): Node | undefined {
  // A quote that does not close is matched as well: its end is looked for once, not again from every quote inside it.
  const tokens = text.match(/"(?:[^"\\]|\\.)*"?|[()]|[^\s()"]+/gs) ?? [];
  const stack: Node[][] = [[]];
  for (const token of tokens) {
    if (token.startsWith('"') && (token.length === 1 || !token.endsWith('"'))) return undefined;
    if (token === '(' && stack.length === MOST_DEPTH) return undefined;
    if (token === '(') stack.push([]);
    else if (token === ')') {
      const done = stack.pop()!;
      const outer = stack.at(-1);
      if (!outer) return undefined;
      outer.push(done);
    } else stack.at(-1)!.push(/^nil$/i.test(token) ? null : token.replace(/^"|"$/g, ''));
  }
  return stack.length === 1 && stack[0]!.length === 1 ? stack[0]![0] : undefined;
}
