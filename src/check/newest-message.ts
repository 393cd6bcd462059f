/**
 * A look at the newest message over IMAP, for oddities that no reply names: a BODYSTRUCTURE that breaks the grammar and, where
 * asked, a message that the server cannot convert or whose size is wrong. EXAMINE and BODY.PEEK change nothing, but Exchange may
 * send a read receipt for what is fetched, so that is done only on request.
 */
import type { CatalogueRow } from '../oauth/catalogue/schema.ts';
import { catalogue } from '../oauth/catalogue/catalogue.ts';
import { describeRow, findRow, type Facts } from '../oauth/catalogue/diagnose.ts';
import { isList, textOf, type Value } from '../protocol/imap/response-value.ts';
import { ImapSession, SESSION_LIMITS } from '../protocol/imap/session.ts';
import { fetch, type FetchItem, wholeMessage } from '../protocol/imap/verb/fetch.ts';
import { select } from '../protocol/imap/verb/select.ts';
import { asked, type Session } from './first-command.ts';
import type { Found } from './step.ts';

const MAX_OCTETS = 1 << 20;

/** @throws check.mailbox-closed, check.mailbox-busy, wire.* */
export async function lookAtNewest({ conn, host, signal }: Session, whole: boolean, facts: Facts): Promise<Found> {
  const imap = new ImapSession(conn, { host, limits: { ...SESSION_LIMITS, literal: 2 * MAX_OCTETS } });
  await asked(host, select(imap, { verb: 'EXAMINE', mailbox: 'INBOX' }, { signal }));
  const described = (await asked(host, fetch(imap, '*', DESCRIPTION, { signal }))).messages.at(-1);
  const size = described?.size ?? Number.NaN;
  if (!isBodyStructure(described?.items.get('BODYSTRUCTURE')))
    return oddity('imap.malformed-structure', facts, { size });
  if (!whole || size > MAX_OCTETS) return { says: 'its structure follows the grammar', facts: { size } };
  const fetched = (await asked(host, fetch(imap, '*', [WHOLE], { signal }))).messages.at(-1);
  const body = fetched?.section(WHOLE) ?? Buffer.alloc(0);
  if (NOTICE.test(body.toString('latin1', 0, 4096))) return oddity('imap.unretrievable', facts, { size });
  if (body.length !== size) return oddity('imap.size-estimated', facts, { size, octets: body.length });
  return { says: `it can be fetched: ${body.length} octets, as announced`, facts: { size } };
}

const DESCRIPTION: readonly FetchItem[] = [{ type: 'UID' }, { type: 'RFC822.SIZE' }, { type: 'BODYSTRUCTURE' }];
const WHOLE = wholeMessage();

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
