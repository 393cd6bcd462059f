/**
 * A look at the newest message over IMAP, for oddities that no reply names: a BODYSTRUCTURE that breaks the grammar and, where
 * asked, a message that the server cannot convert or whose size is wrong. EXAMINE and BODY.PEEK change nothing, but Exchange may
 * send a read receipt for what is fetched, so that is done only on request.
 */
import type { CatalogueRow } from '../oauth/catalogue/schema.ts';
import { catalogue } from '../oauth/catalogue/catalogue.ts';
import { describeRow, findRow, type Facts } from '../oauth/catalogue/diagnose.ts';
import { bodyOf, type Response } from '../protocol/imap/response.ts';
import { RESPONSE_LIMITS } from '../protocol/imap/response-reader.ts';
import { isList, textOf, type Value } from '../protocol/imap/response-value.ts';
import { ImapSession } from '../protocol/imap/session.ts';
import { ask, type Session } from './first-command.ts';
import type { Found } from './step.ts';

const MAX_OCTETS = 1 << 20;

/** @throws check.mailbox-closed, check.mailbox-busy, wire.* */
export async function lookAtNewest(session: Session, whole: boolean, facts: Facts): Promise<Found> {
  const limits = { ...RESPONSE_LIMITS, literal: 2 * MAX_OCTETS };
  const imap = new ImapSession(session.conn, session.host, limits);
  await ask(imap, session, 'EXAMINE INBOX');
  const described = itemsIn(await ask(imap, session, 'FETCH * (UID RFC822.SIZE BODYSTRUCTURE)'));
  const size = Number(textOf(described.get('RFC822.SIZE')) ?? Number.NaN);
  if (!isBodyStructure(described.get('BODYSTRUCTURE'))) return oddity('imap.malformed-structure', facts, { size });
  if (!whole || size > MAX_OCTETS) return { says: 'its structure follows the grammar', facts: { size } };
  const fetched = itemsIn(await ask(imap, session, 'FETCH * (BODY.PEEK[])'));
  const body = bodyOf(fetched, '') ?? Buffer.alloc(0);
  if (NOTICE.test(body.toString('latin1', 0, 4096))) return oddity('imap.unretrievable', facts, { size });
  if (body.length !== size) return oddity('imap.size-estimated', facts, { size, octets: body.length });
  return { says: `it can be fetched: ${body.length} octets, as announced`, facts: { size } };
}

/** Those of the one message that was asked for; none where the response breaks the grammar. */
function itemsIn(responses: readonly Response[]): ReadonlyMap<string, Value> {
  const fetched = responses.findLast((one) => one.type === 'fetch');
  return fetched?.type === 'fetch' ? fetched.items : new Map();
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

/** RFC 9051 §9 `body`: parts, and in each a disposition that is NIL or a list of a string and parameters. */
export function isBodyStructure(value: Value | undefined): boolean {
  if (!isList(value)) return false;
  if (isList(value[0])) {
    const parts = value.findIndex((one) => !isList(one));
    const [subtype, , disposition] = value.slice(parts);
    return (
      parts > 0 &&
      textOf(subtype) !== undefined &&
      value.slice(0, parts).every((part) => isBodyStructure(part)) &&
      isDisposition(disposition)
    );
  }
  const [type, subtype, , , , encoding, octets] = value.map((one) => textOf(one));
  if (type === undefined || subtype === undefined || encoding === undefined) return false;
  if (octets === undefined || !/^\d+$/.test(octets)) return false;
  const isMessage = /^message$/i.test(type) && /^(?:rfc822|global)$/i.test(subtype);
  // What goes before the extension data: lines of a text, envelope, body and lines of a message.
  const basic = isMessage ? 10 : /^text$/i.test(type) ? 8 : 7;
  if (isMessage && !isBodyStructure(value[8])) return false;
  return isDisposition(value[basic + 1]);
}

function isDisposition(value: Value | undefined): boolean {
  if (value === undefined || value === null) return true;
  if (!isList(value)) return false;
  const [kind, parameters] = value;
  return textOf(kind) !== undefined && (parameters === null || isList(parameters));
}
