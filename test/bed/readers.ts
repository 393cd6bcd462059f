/**
 * Every reader of what comes from outside, and the texts that are the worst for some of them: what made one slow once, what nests,
 * repeats or never closes. For test/growth.test.ts and `npm run bench -- readers`.
 */
import { z } from 'zod';
import { ManualClock } from './manual-clock.ts';
import { Secret, scrub } from '../../src/base/secret.ts';
import { redactor } from '../../src/check/bundle/redact.ts';
import { isBodyStructure } from '../../src/check/newest-message.ts';
import { withoutHidden } from '../../src/gateway/capabilities.ts';
import { describeAccessToken } from '../../src/oauth/access-token.ts';
import { errorFrom, tokensFrom } from '../../src/oauth/answer.ts';
import type { Http } from '../../src/oauth/http.ts';
import { verifyIdToken } from '../../src/oauth/id-token.ts';
import { readPasted } from '../../src/onboard/paste-back.ts';
import { messageInput } from '../../src/server/api/message-schema.ts';
import { readCursor } from '../../src/server/api/schema.ts';
import { Egress } from '../../src/outbox/webhook/egress.ts';
import { evidenceIn } from '../../src/oauth/catalogue/evidence.ts';
import { readXml } from '../../src/onboard/discover/xml.ts';
import { readIni } from '../../src/onboard/import/ini.ts';
import { readReturned } from '../../src/outbox/deliver/returned.ts';
import { headerAddresses } from '../../src/outbox/header-addresses.ts';
import { readAsText } from '../../src/outbox/template/plain-text.ts';
import { parseTemplate } from '../../src/outbox/template/mustache.ts';
import { parseFetchItems } from '../../src/protocol/imap/verb/fetch.ts';
import { responseOf, uidOf } from '../../src/protocol/imap/response.ts';
import { decodeMailboxName } from '../../src/protocol/imap/mailbox-name.ts';
import { parseSearch } from '../../src/protocol/imap/verb/search.ts';
import { parseSequenceSet } from '../../src/protocol/imap/sequence-set.ts';
import { CommandReader } from '../../src/protocol/imap/token.ts';
import { parseAddresses } from '../../src/protocol/mime/address.ts';
import { readAddressList } from '../../src/protocol/mime/address-list.ts';
import { parseMessage, parseParameters } from '../../src/protocol/mime/part.ts';
import { bodyStructure, envelope } from '../../src/protocol/mime/structure.ts';
import { readPairs } from '../../src/protocol/sasl/bearer.ts';
import { decodeResponse } from '../../src/protocol/sasl/line.ts';
import { parsePath } from '../../src/protocol/smtp/envelope.ts';
import { decodeWords } from '../../src/sandbox/mail/decoded.ts';

const clock = new ManualClock();
const egress = new Egress({ allow: [] });
const ID_TOKEN = {
  issuer: 'https://a.test/',
  jwksUri: 'https://a.test/keys',
  clientId: 'x',
  nonce: 'x',
  microsoft: true,
  tenantId: undefined,
};
const keysAlone: Http = {
  request: () => Promise.resolve(Response.json({ keys: [] })),
  close: () => Promise.resolve(),
};

/** With it in every place. */
function requestOf(text: string): unknown {
  return {
    from: text,
    to: [text, { name: text, address: text }],
    subject: text,
    text,
    html: text,
    attachments: [{ filename: text, contentType: text, content: text, cid: text }],
    headers: { 'X-A': text },
    references: [text],
    scheduledAt: text,
  };
}

const redact = redactor([], new Map([['alice@example.com', 'mailbox-1@example.com']]));

/** Of a whole text. */
export const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  'secrets in a log line': scrub,
  'secrets in a support bundle': redact,
  'a capability line': (text) => withoutHidden(`* OK [CAPABILITY ${text}`),
  'a BODYSTRUCTURE': (text) => {
    const response = responseOf([`* 1 FETCH (BODYSTRUCTURE (${text}))`]);
    return response?.type === 'fetch' && isBodyStructure(response.items.get('BODYSTRUCTURE'));
  },
  'a FETCH that is not whole': (text) => uidOf(`* 1 FETCH (${text}`, { number: 1, name: 'FETCH', end: 10 }),
  'a provider’s refusal': evidenceIn,
  'an autoconfig file': readXml,
  'an INI file': (text) => readIni(`[a]\n${text}`),
  'a returned message': (text) => readReturned(Buffer.from(text)),
  'addresses of a header': (text) => headerAddresses(Buffer.from(`To: ${text}\r\n\r\n`)),
  HTML: (text) => [...readAsText(text)],
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
  'the body of a request': (text) => messageInput.safeParse(requestOf(text)),
  'the address of a webhook': (text) => egress.check(`https://${text}`),
  'a page of the API': (text) => readCursor(text, z.unknown()),
  'an OAuth answer': (text) =>
    tokensFrom(
      { status: 200, headers: {}, body: { access_token: text, token_type: 'bearer', scope: text } },
      [],
      clock,
    ),
  'an OAuth refusal': (text) =>
    errorFrom({ status: 400, headers: { 'retry-after': text }, body: { error: text, error_description: text } }, clock),
  'an access token': (text) => describeAccessToken(new Secret(`${text}.${text}.`)),
  'an id token': (text) => verifyIdToken(new Secret(`eyJ.${text}.`), ID_TOKEN, { http: keysAlone, clock }),
  'a pasted redirect': (text) => readPasted(text, 'http://127.0.0.1/', 'x'),
};

export const PIECES = [
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
  '. ',
  '( ',
  '< ',
  ', ',
  '" ',
  '\\" \\" ',
  '::',
  ';;',
  'a . ',
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
