/** The page of RFC sections that Postern follows, and the tests that hold them: from the citations in src/ and test/. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { MADE, page, rows } from './markdown.ts';

const root = resolve(import.meta.dirname, '..');

/** @throws when an RFC has no title here */
export function rfcPage(): string {
  const cited = citedSections().filter(({ places }) => places.length > 0);
  const row = ({ section, places, tests }: Cited): readonly string[] => [
    section === '' ? 'as a whole' : `§${section}`,
    names(places),
    names(tests),
  ];
  const others = cited.filter(({ rfc }) => !CORE.has(rfc));
  return page([
    '# RFCs',
    MADE,
    '',
    'The sections that the code follows, where (folders of `src/`), and the tests that hold them, as both cite them: first those of',
    'the protocols Postern is made of, then all others. Where those have no test, `test/rfcs.test.ts` says why; of the others a',
    'test may well hold what it does not name.',
    '',
    ...[...CORE]
      .toSorted((a, b) => a - b)
      .flatMap((rfc) => [
        `## RFC ${rfc}: ${titleOf(rfc)}`,
        '',
        ...rows(['section', 'code', 'tests'], cited.filter((one) => one.rfc === rfc).map(row)),
        '',
      ]),
    '## Others',
    '',
    ...rows(
      ['RFC', 'section', 'code', 'tests'],
      others.map((one) => [`${one.rfc} ${titleOf(one.rfc)}`, ...row(one)]),
    ),
  ]);
}

/** One section, or with an empty name the RFC as a whole. */
export interface Cited {
  readonly rfc: number;
  readonly section: string;
  /** Folders of src/ whose code cites it. */
  readonly places: readonly string[];
  /** Test files that cite it. */
  readonly tests: readonly string[];
}

/** Everything that code or a test cites, in order. */
export function citedSections(): readonly Cited[] {
  const found = new Map<string, { rfc: number; section: string; places: Set<string>; tests: Set<string> }>();
  for (const file of globSync(['src/**/*.ts', 'test/**/*.test.ts'], { cwd: root }).toSorted())
    for (const [rfc, section] of citationsIn(readFileSync(resolve(root, file), 'utf8'))) {
      const key = `${rfc} ${section}`;
      const entry = found.get(key) ?? { rfc, section, places: new Set(), tests: new Set() };
      found.set(key, entry);
      if (/\.(?:test|fuzz)\.ts$/.test(file)) entry.tests.add(file);
      else entry.places.add(dirname(file).replace('src/', ''));
    }
  return [...found.values()]
    .map((entry) => ({ ...entry, places: [...entry.places], tests: [...entry.tests] }))
    .toSorted((a, b) => a.rfc - b.rfc || a.section.localeCompare(b.section, 'en', { numeric: true }));
}

/** `RFC 9051 §6.3.9, §7.3.1`, and in lists of whole ones `RFC 6749, 7523`. Lines of a comment are joined. */
function citationsIn(text: string): readonly (readonly [number, string])[] {
  const joined = text.replaceAll(/\n\s*(?:\*|\/\/)?\s*/g, ' ');
  const found: [number, string][] = [];
  for (const [, rfc, sections = '', others = ''] of joined.matchAll(CITATION)) {
    const names = [...sections.matchAll(/§(\S+?)(?=[,.;:)'`]*(?:\s|$))/g)].map((match) => match[1]!);
    for (const name of names.length === 0 ? [''] : names) found.push([Number(rfc), name]);
    for (const [other] of others.matchAll(/\d+/g)) found.push([Number(other), '']);
  }
  return found;
}

const CITATION = /RFC (\d+)((?:(?:,| and)? §\d+(?:\.\d+)*(?:–\d+(?:\.\d+)*)?)*)((?:(?:,| and) \d{4}\b)*)/g;

/** What Postern is made of; of these every section that is followed is to be held by a test (`test/rfcs.test.ts`). */
export const CORE: ReadonlySet<number> = new Set([
  // Mail: IMAP, POP3, SMTP with what always belongs to them, and messages.
  3501, 9051, 1939, 2449, 5321, 2920, 3030, 3207, 3461, 3463, 3464, 5322,
  // Signing in: SASL and OAuth 2.0.
  4954, 5034, 7628, 6749, 7636, 8628,
]);

const names = (list: readonly string[]): string => list.map((name) => `\`${name}\``).join(', ');

function titleOf(rfc: number): string {
  const title = TITLES[rfc];
  if (title === undefined) throw new Error(`RFC ${rfc} is cited: give it a title in scripts/rfcs.ts`);
  return title;
}

/** Short, after what each is for. */
const TITLES: Readonly<Record<number, string>> = {
  1035: 'Domain names: implementation and specification',
  1047: 'Duplicate messages and SMTP',
  1123: 'Requirements for Internet hosts',
  1847: 'Security multiparts for MIME',
  1870: 'SMTP: message size declaration',
  1939: 'POP3',
  2045: 'MIME: format of message bodies',
  2046: 'MIME: media types',
  2047: 'MIME: header extensions for non-ASCII text',
  2177: 'IMAP: IDLE',
  2183: 'MIME: Content-Disposition',
  2231: 'MIME: parameter values and encoded words',
  2342: 'IMAP: NAMESPACE',
  2387: 'multipart/related',
  2449: 'POP3: extension mechanism',
  2595: 'TLS with IMAP and POP3',
  2606: 'Reserved top-level DNS names',
  2765: 'Stateless IP/ICMP translation',
  2782: 'DNS: SRV',
  2852: 'SMTP: Deliver By',
  2920: 'SMTP: command pipelining',
  2971: 'IMAP: ID',
  3030: 'SMTP: large and binary messages (CHUNKING)',
  3056: '6to4',
  3206: 'POP3: SYS and AUTH response codes',
  3207: 'SMTP: STARTTLS',
  3339: 'Date and time on the Internet',
  3461: 'SMTP: delivery status notifications',
  3463: 'Enhanced mail system status codes',
  3464: 'Format of delivery status notifications',
  3501: 'IMAP4rev1',
  3502: 'IMAP: MULTIAPPEND',
  3516: 'IMAP: BINARY',
  3691: 'IMAP: UNSELECT',
  3834: 'Automatic responses to mail',
  3986: 'URI: generic syntax',
  4291: 'IPv6 addressing architecture',
  4315: 'IMAP: UIDPLUS',
  4422: 'SASL',
  4469: 'IMAP: CATENATE',
  4514: 'LDAP: distinguished names as text',
  4616: 'SASL: PLAIN',
  4632: 'Classless inter-domain routing',
  4648: 'Base16, Base32 and Base64',
  4865: 'SMTP: future message release',
  4954: 'SMTP: authentication',
  4959: 'IMAP: initial client response of SASL',
  5034: 'POP3: SASL',
  5161: 'IMAP: ENABLE',
  5182: 'IMAP: SEARCHRES',
  5214: 'ISATAP',
  5246: 'TLS 1.2',
  5256: 'IMAP: SORT and THREAD',
  5267: 'IMAP: contexts',
  5280: 'X.509 certificates and revocation lists',
  5321: 'SMTP',
  5322: 'Internet message format',
  5530: 'IMAP: response codes',
  5801: 'SASL: GS2',
  5869: 'HKDF',
  5965: 'Format of feedback reports',
  6052: 'IPv6 addresses of IPv4/IPv6 translators',
  6066: 'TLS: extensions',
  6152: 'SMTP: 8BITMIME',
  6154: 'IMAP: special-use mailboxes',
  6186: 'SRV records for mail',
  6409: 'Message submission',
  6522: 'multipart/report',
  6531: 'SMTP: internationalized mail',
  6532: 'Internationalized message headers',
  6533: 'Internationalized reports and notifications',
  6585: 'Additional HTTP status codes',
  6710: 'SMTP: message transfer priorities',
  6749: 'OAuth 2.0',
  6750: 'OAuth 2.0: bearer tokens',
  6761: 'Special-use domain names',
  6762: 'Multicast DNS',
  6851: 'IMAP: MOVE',
  6856: 'POP3: UTF-8',
  7009: 'OAuth 2.0: token revocation',
  7162: 'IMAP: CONDSTORE and QRESYNC',
  7235: 'HTTP: authentication',
  7239: 'HTTP: Forwarded',
  7293: 'SMTP: Require-Recipient-Valid-Since',
  7515: 'JSON Web Signature',
  7516: 'JSON Web Encryption',
  7517: 'JSON Web Key',
  7518: 'JSON Web Algorithms',
  7519: 'JSON Web Token',
  7523: 'OAuth 2.0: JWT for client authentication and grants',
  7591: 'OAuth 2.0: dynamic client registration',
  7592: 'OAuth 2.0: management of dynamic registrations',
  7628: 'SASL: OAUTHBEARER',
  7636: 'OAuth 2.0: PKCE',
  7888: 'IMAP: non-synchronizing literals',
  8032: 'EdDSA',
  8252: 'OAuth 2.0 for native apps',
  8305: 'Happy Eyeballs version 2',
  8259: 'The JavaScript Object Notation (JSON) data interchange format',
  8314: 'Cleartext considered obsolete: TLS for mail',
  8375: 'The domain home.arpa',
  8410: 'Ed25519 and others in X.509',
  8414: 'OAuth 2.0: authorization server metadata',
  8437: 'IMAP: UNAUTHENTICATE',
  8446: 'TLS 1.3',
  8474: 'IMAP: OBJECTID',
  8551: 'S/MIME 4.0',
  8628: 'OAuth 2.0: device authorization grant',
  8689: 'SMTP: Require TLS',
  8952: 'Captive portals',
  9051: 'IMAP4rev2',
  9068: 'OAuth 2.0: access tokens as JWT',
  9106: 'Argon2',
  9110: 'HTTP semantics',
  9112: 'HTTP/1.1',
  9293: 'TCP',
  9325: 'Recommendations for the use of TLS',
  9457: 'Problem details for HTTP APIs',
  9525: 'Service identity in TLS',
  9700: 'OAuth 2.0: best current practice for security',
};
