/** SEARCH: which messages of a view a key fits (RFC 3501 §6.4.4). Texts are compared as people read them, whatever their case. */
import { sequenceMatcher } from '../../protocol/imap/sequence-set.ts';
import type { SearchKey } from '../../protocol/imap/verb/search.ts';
import { parseAddresses } from '../../protocol/mime/address.ts';
import { fieldOf } from '../../protocol/mime/part.ts';
import { decodedOf } from './decoded.ts';
import { structureOf } from './imap-fetch.ts';
import type { View } from './imap-view.ts';
import type { Message } from './store.ts';

type Test = (message: Message, index: number) => boolean;

const DAY = 86_400_000;
const ADDRESSED: ReadonlySet<string> = new Set(['from', 'to', 'cc', 'bcc', 'sender', 'reply-to']);

export function searchTest(view: View, key: SearchKey): Test {
  switch (key.type) {
    case 'all':
      return () => true;
    case 'set': {
      const matches = sequenceMatcher(key.set, key.uid ? view.largestUid : view.messages.length);
      return (message, index) => matches(key.uid ? message.uid : index + 1);
    }
    case 'flag': {
      const wanted = key.flag.toLowerCase();
      return ({ flags }) => [...flags].some((flag) => flag.toLowerCase() === wanted) === key.present;
    }
    case 'recent':
      return (message) => view.recent.has(message);
    case 'old':
      return (message) => !view.recent.has(message);
    case 'new':
      return (message) => view.recent.has(message) && !message.flags.has('\\Seen');
    case 'header':
      return (message) =>
        decodedOf(message).fields.some(
          ({ name, value }) =>
            name === key.field && (value.includes(key.text) || (ADDRESSED.has(name) && inAddress(value, key.text))),
        );
    case 'text':
      return (message) => {
        const { fields, body } = decodedOf(message);
        return body.includes(key.text) || fields.some(({ name, value }) => `${name}: ${value}`.includes(key.text));
      };
    case 'body':
      return (message) => decodedOf(message).body.includes(key.text);
    case 'internal':
      return (message) => onDay(message.internalDate, key);
    case 'sent':
      return (message) => onDay(sentDay(fieldOf(structureOf(message), 'date') ?? ''), key);
    case 'larger':
      return ({ raw }) => raw.length > key.octets;
    case 'smaller':
      return ({ raw }) => raw.length < key.octets;
    case 'not': {
      const test = searchTest(view, key.key);
      return (message, index) => !test(message, index);
    }
    default: {
      const tests = key.keys.map((each) => searchTest(view, each));
      return key.type === 'and'
        ? (message, index) => tests.every((test) => test(message, index))
        : (message, index) => tests.some((test) => test(message, index));
    }
  }
}

const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const DAY_OF_DATE = /(?:^|[\s,])(\d{1,2})\s+([a-z]{3})[a-z]*\s+(\d{4})\b/i;

/** An address without the comments and spaces that may stand inside it (RFC 5322 §3.2.2). */
function inAddress(value: string, text: string): boolean {
  return parseAddresses(value).some(
    (each) => each.type === 'mailbox' && `${each.local}@${each.domain}`.toLowerCase().includes(text),
  );
}

/** The day as it is written, whatever its time and zone (RFC 3501 §6.4.4: "disregarding time and timezone"). */
function sentDay(date: string): number {
  const [, day, month, year] = DAY_OF_DATE.exec(date) ?? [];
  return Date.UTC(Number(year), MONTHS.indexOf(month?.toLowerCase() ?? ''), Number(day));
}

function onDay(
  time: number,
  { relation, day }: { readonly relation: 'before' | 'on' | 'since'; readonly day: number },
): boolean {
  if (relation === 'before') return time < day;
  return relation === 'since' ? time >= day : time >= day && time < day + DAY;
}
