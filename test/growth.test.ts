/**
 * Reading takes time by the length of what is read, not by its square. Each reader of what comes from outside gets its worst
 * texts in two sizes; four times the text may take eight times as long. Measured by this process's own processor time, the least of
 * several tries, and only where it is enough to be measured, so that a busy machine does not matter.
 */
import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { scrub } from '../src/base/secret.ts';
import { redactor } from '../src/check/bundle/redact.ts';
import { isBodyStructure } from '../src/check/newest-message.ts';
import { withoutHidden } from '../src/gateway/capabilities.ts';
import { evidenceIn } from '../src/oauth/catalogue/evidence.ts';
import { readXml } from '../src/oauth/discover/xml.ts';
import { readIni } from '../src/oauth/import/ini.ts';
import { readReturned } from '../src/outbox/deliver/returned.ts';
import { headerAddresses } from '../src/outbox/header-addresses.ts';
import { plainTextOf } from '../src/outbox/template/plain-text.ts';
import { parseTemplate } from '../src/outbox/template/mustache.ts';
import { parseFetchItems } from '../src/protocol/imap/fetch-items.ts';
import { decodeMailboxName } from '../src/protocol/imap/mailbox-name.ts';
import { parseSearch } from '../src/protocol/imap/search-key.ts';
import { parseSequenceSet } from '../src/protocol/imap/sequence-set.ts';
import { CommandReader } from '../src/protocol/imap/token.ts';
import { parseAddresses } from '../src/protocol/mime/address.ts';
import { readAddressList } from '../src/protocol/mime/address-list.ts';
import { parseMessage, parseParameters } from '../src/protocol/mime/part.ts';
import { bodyStructure, envelope } from '../src/protocol/mime/structure.ts';
import { readPairs } from '../src/protocol/sasl/bearer.ts';
import { decodeResponse } from '../src/protocol/sasl/line.ts';
import { parsePath } from '../src/protocol/smtp/envelope.ts';
import { decodeWords } from '../src/sandbox/mail/decoded.ts';

const redact = redactor([], new Map([['alice@example.com', 'mailbox-1@example.com']]));

const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  'secrets in a log line': scrub,
  'secrets in a support bundle': redact,
  'a capability line': (text) => withoutHidden(`* OK [CAPABILITY ${text}`),
  'a BODYSTRUCTURE': isBodyStructure,
  'a provider’s refusal': evidenceIn,
  'an autoconfig file': readXml,
  'an INI file': (text) => readIni(`[a]\n${text}`),
  'a returned message': (text) => readReturned(Buffer.from(text)),
  'addresses of a header': (text) => headerAddresses(Buffer.from(`To: ${text}\r\n\r\n`)),
  HTML: plainTextOf,
  'a template': (text) => parseTemplate(text, 'text'),
  'FETCH items': (text) => parseFetchItems(new CommandReader([text])),
  'SEARCH keys': (text) => parseSearch(new CommandReader([text])),
  'a sequence set': parseSequenceSet,
  'a mailbox name': decodeMailboxName,
  'an address list': parseAddresses,
  'a strict address list': readAddressList,
  'parameters of a field': parseParameters,
  'a message’s structure': (text) => {
    const part = parseMessage(Buffer.from(text));
    return envelope(part) + bodyStructure(part, true);
  },
  'SASL pairs': readPairs,
  'a SASL line': decodeResponse,
  'an SMTP path': (text) => parsePath('FROM', `FROM:${text}`),
  'encoded words': decodeWords,
};

/** What made some reader slow once, and what nests, repeats or never closes. */
const PIECES = [
  ' ',
  '\t',
  'a',
  '"',
  '\\"',
  '(',
  '((',
  '()',
  '<',
  '<a',
  '<a>',
  '<!--',
  '{{',
  '{{#a}}',
  '[',
  '[CAPABILITY ',
  '=',
  '=?',
  '=?a?b?',
  '@',
  'a@b,',
  'a:',
  ';',
  ';a=',
  ';a="',
  '\r\n',
  '\r\n ',
  'a: b\r\n',
  '&',
  '&amp;',
  '&-',
  '*',
  '1,',
  '1:*,',
  '.',
  '-',
  '-eyJ-------J',
  'eyJ',
  'TOKENC',
  'A+',
  'password: ',
  '://a:',
  'NOT ',
  'OR ',
  'BODY[',
  'RETURN (',
  '?',
  '/',
  '>',
  '\u0001',
  'a=b\u0001',
  '#',
  '\n',
  'consent/',
  '--b\r\n',
  'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n',
  '5.2.0 ',
  '4.3.2 ',
  'BYE ',
];

const SMALL = 32 * 1024;
const TIMES = 4;
const MOST_GROWTH = 8;
/** Milliseconds that are enough to be compared. */
const MEASURABLE = 40;

function cost(read: (text: string) => unknown, text: string): number {
  const before = process.cpuUsage();
  try {
    read(text);
  } catch {
    // Refused: that took its time as well.
  }
  return process.cpuUsage(before).user / 1000;
}

for (const [name, read] of Object.entries(READERS))
  test(`S1, S3, S12: reading ${name} takes time by its length`, () => {
    for (const piece of PIECES)
      for (const end of ['', '!', '\0']) {
        const text = (octets: number): string => piece.repeat(Math.ceil(octets / piece.length)) + end;
        const large = text(SMALL * TIMES);
        if (cost(read, large) < MEASURABLE) continue;
        const small = text(SMALL);
        let ratio = Infinity;
        for (let round = 0; round < 4 && ratio > MOST_GROWTH; round++)
          ratio = Math.min(ratio, cost(read, large) / Math.max(1, cost(read, small)));
        assert.ok(
          ratio <= MOST_GROWTH,
          `${JSON.stringify(piece)}…${JSON.stringify(end)}: ${TIMES} times the text, ${ratio.toFixed(1)} times as long`,
        );
      }
  });
