/** Discovery with answers of our own: every source, hostile files, and what must not be asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isError } from '../../base/error.ts';
import type { Http } from '../../oauth/http.ts';
import { oauthError } from '../../oauth/errors.ts';
import { readAutoconfig } from './autoconfig.ts';
import { discover, type DiscoverOptions } from './discover.ts';
import type { MxRecord, SrvRecord } from 'node:dns';
import type { Dns } from './dns.ts';
import { readXml } from './xml.ts';

const file = (servers: string, more = ''): string => `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1"><emailProvider id="example.org"><displayName>Example &amp; Söhne</displayName>${servers}</emailProvider>${more}</clientConfig>`;
const server = (
  kind: string,
  type: string,
  host: string,
  port: number,
  socket: string,
  authentication: string,
): string =>
  `<${kind} type="${type}"><hostname>${host}</hostname><port>${port}</port><socketType>${socket}</socketType>` +
  `<username>%EMAILADDRESS%</username><authentication>${authentication}</authentication></${kind}>`;
const IMAP = server('incomingServer', 'imap', 'imap.example.org', 993, 'SSL', 'OAuth2');
const SMTP = server('outgoingServer', 'smtp', 'smtp.example.org', 587, 'STARTTLS', 'OAuth2');

interface World {
  readonly mx?: readonly MxRecord[];
  readonly srv?: Readonly<Record<string, readonly SrvRecord[]>>;
  readonly cname?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string | { readonly location: string } | Error>>;
}

function world(given: World): DiscoverOptions & { readonly asked: string[] } {
  const asked: string[] = [];
  const dns: Dns = {
    mx: () => Promise.resolve(given.mx ?? []),
    srv: (name) => Promise.resolve(given.srv?.[name] ?? []),
    cname: (name) => Promise.resolve(given.cname?.[name] === undefined ? [] : [given.cname[name]]),
  };
  const http: Http = {
    request(url) {
      asked.push(url);
      const found = given.files?.[url.replace(/\?.*$/, '')];
      if (found instanceof Error) return Promise.reject(found);
      if (found === undefined) return Promise.resolve(new Response('not here', { status: 404 }));
      if (typeof found === 'string') return Promise.resolve(new Response(found));
      return Promise.resolve(new Response(null, { status: 302, headers: found }));
    },
    close: () => Promise.resolve(),
  };
  return { dns, http, asked };
}

const WELL_KNOWN = 'https://example.org/.well-known/autoconfig/mail/config-v1.1.xml';
const AUTOCONFIG = 'https://autoconfig.example.org/mail/config-v1.1.xml';

const KNOWN: readonly [address: string, preset: string][] = [
  ['a@gmail.com', 'google'],
  ['a@Hotmail.co.uk', 'outlook'],
  ['a@outlook.de', 'outlook'],
  ['a@contoso.onmicrosoft.com', 'microsoft'],
  ['a@yahoo.com.au', 'yahoo'],
  ['a@aol.com', 'aol'],
  ['a@fastmail.com', 'fastmail'],
  ['a@ya.ru', 'yandex'],
  ['a@mail.ru', 'mailru'],
  ['a@comcast.net', 'comcast'],
];
for (const [address, name, imap] of [
  ['a@yahoo.co.jp', 'Yahoo Japan', 'imap.mail.yahoo.co.jp'],
  ['a@icloud.com', 'iCloud Mail', 'imap.mail.me.com'],
  ['a@gmx.de', 'GMX', 'imap.gmx.net'],
  ['a@zoho.eu', 'Zoho Mail', 'imap.zoho.com'],
] as const) {
  test(`M: ${address} is at ${name}, which takes passwords only, and is told so without asking anybody`, async () => {
    const given = world({});
    const [best] = (await discover(address, given)).candidates;
    assert.deepEqual([best?.name, best?.signIn, best?.mail.imap?.host], [name, 'password', imap]);
    assert.ok(best?.appPassword);
    assert.deepEqual(given.asked, []);
  });
}
test('M: a domain of its own at a provider that takes passwords only is found by its mail exchanger', async () => {
  const given = world({ mx: [{ exchange: 'mx2.zoho.eu', priority: 10 }] });
  const [best] = (await discover('a@example.org', given)).candidates;
  assert.deepEqual([best?.name, best?.signIn], ['Zoho Mail', 'password']);
});

for (const [address, preset] of KNOWN) {
  test(`${address} is at ${preset}, without asking`, async () => {
    const given = world({});
    const [best] = (await discover(address, given)).candidates;
    assert.equal(best?.preset, preset);
    assert.equal(best.source, 'domain');
    assert.deepEqual(given.asked, []);
  });
}

const EXCHANGERS: readonly [exchange: string, preset: string][] = [
  ['example-org.mail.protection.outlook.com', 'microsoft'],
  ['EXAMPLE-ORG.mail.protection.outlook.com.', 'microsoft'],
  ['example-org.a-v1.mx.microsoft', 'microsoft'],
  ['outlook-com.olc.protection.outlook.com', 'outlook'],
  ['example.mail.protection.office365.us', 'microsoft-gcc-high'],
  ['aspmx.l.google.com', 'google'],
  ['smtp.google.com', 'google'],
  ['mx-aol.mail.gm0.yahoodns.net', 'aol'],
  ['mta5.am0.yahoodns.net', 'yahoo'],
  ['in1-smtp.messagingengine.com', 'fastmail'],
];
for (const [exchange, preset] of EXCHANGERS) {
  test(`mail for the domain goes to ${exchange}: ${preset}`, async () => {
    const { candidates } = await discover('a@example.org', world({ mx: [{ exchange, priority: 10 }] }));
    assert.deepEqual(
      candidates.map((one) => [one.preset, one.source]),
      [[preset, 'mx']],
    );
  });
}

test('a name that only looks like a provider’s is not known', async () => {
  const mx = ['x.mail.protection.outlook.com.evil.test', 'evilaspmx.l.google.com.test', 'notyahoodns.net'];
  const { candidates, attempts } = await discover(
    'a@example.org',
    world({ mx: mx.map((exchange, priority) => ({ exchange, priority })) }),
  );
  assert.deepEqual(candidates, []);
  assert.match(attempts.find(({ source }) => source === 'mx')!.note!, /not known to Postern/);
});

test('behind a mail filter, autodiscover still names Exchange', async () => {
  const { candidates } = await discover(
    'a@example.org',
    world({
      mx: [{ exchange: 'mx1.filter.test', priority: 5 }],
      cname: { 'autodiscover.example.org': 'autodiscover.outlook.com' },
    }),
  );
  assert.equal(candidates[0]?.preset, 'microsoft');
});

test('the domain’s own file: servers, issuer, scopes', async () => {
  const more = '<oAuth2><issuer>id.example.org</issuer><scope>mail offline_access</scope></oAuth2>';
  const given = world({ files: { [WELL_KNOWN]: file(IMAP + SMTP, more) } });
  const { candidates } = await discover('Alice@Example.org', given);
  assert.deepEqual(candidates, [
    {
      source: 'autoconfig',
      evidence: WELL_KNOWN,
      preset: 'oidc',
      name: 'Example & Söhne',
      mail: {
        imap: { host: 'imap.example.org', port: 993, tls: 'implicit' },
        smtp: { host: 'smtp.example.org', port: 587, tls: 'starttls' },
      },
      signIn: 'oauth2',
      issuer: 'https://id.example.org',
      scopes: ['mail', 'offline_access'],
    },
  ]);
  assert.ok(given.asked.includes(`${AUTOCONFIG}?emailaddress=alice%40example.org`));
  assert.ok(given.asked.every((url) => url.startsWith('https://') && new URL(url).hostname.endsWith('example.org')));
});

test('a file that names a provider we know is that provider', () => {
  const google = '<oAuth2><issuer>accounts.google.com</issuer></oAuth2>';
  assert.equal(readAutoconfig(file(IMAP, google)).preset, 'google');
  const exchange = server('incomingServer', 'imap', 'Outlook.Office365.com', 993, 'SSL', 'OAuth2');
  assert.equal(readAutoconfig(file(exchange)).preset, 'microsoft');
});

test('servers without encryption are left out; OAuth and TLS come first', () => {
  const servers = [
    server('incomingServer', 'imap', 'plain.example.org', 143, 'plain', 'password-cleartext'),
    server('incomingServer', 'imap', 'start.example.org', 143, 'STARTTLS', 'password-cleartext'),
    server('incomingServer', 'imap', 'tls.example.org', 993, 'SSL', 'password-cleartext'),
    server('incomingServer', 'pop3', 'a b', 995, 'SSL', 'OAuth2'),
    server('incomingServer', 'pop3', 'pop.example.org', 70000, 'SSL', 'OAuth2'),
    server('incomingServer', 'exchange', 'ews.example.org', 443, 'SSL', 'OAuth2'),
  ].join('');
  const { mail, signIn } = readAutoconfig(file(servers));
  assert.deepEqual(mail, { imap: { host: 'tls.example.org', port: 993, tls: 'implicit' } });
  assert.equal(signIn, 'password');
  const plain = server('incomingServer', 'imap', 'plain.example.org', 143, 'plain', 'OAuth2');
  assert.throws(
    () => readAutoconfig(file(plain)),
    (error) => isError(error, 'discover.garbled'),
  );
});

test('what opens by OAuth comes before a file that says password', async () => {
  const password = server('incomingServer', 'imap', 'mail.example.org', 993, 'SSL', 'password-cleartext');
  const { candidates } = await discover(
    'a@example.org',
    world({ mx: [{ exchange: 'aspmx.l.google.com', priority: 1 }], files: { [AUTOCONFIG]: file(password) } }),
  );
  assert.deepEqual(
    candidates.map(({ preset }) => preset),
    ['google', 'oidc'],
  );
});

test('redirects stay on https, and end', async () => {
  const moved = world({
    files: { [AUTOCONFIG]: { location: 'https://host.test/x.xml' }, 'https://host.test/x.xml': file(IMAP) },
  });
  assert.equal((await discover('a@example.org', moved)).candidates.length, 1);
  const downgraded = world({
    files: { [AUTOCONFIG]: { location: 'http://example.org/x.xml' }, 'http://example.org/x.xml': file(IMAP) },
  });
  const found = await discover('a@example.org', downgraded);
  assert.deepEqual(found.candidates, []);
  assert.match(found.attempts.find(({ outcome }) => outcome === 'failed')!.note!, /not followed/);
  assert.ok(downgraded.asked.every((url) => url.startsWith('https:')));
  const endless = world({ files: { [AUTOCONFIG]: { location: AUTOCONFIG } } });
  assert.deepEqual((await discover('a@example.org', endless)).candidates, []);
  assert.ok(endless.asked.length < 10);
});

const record = (name: string, port: number, priority = 0, weight = 0): SrvRecord => ({ name, port, priority, weight });

test('SRV records: TLS from the first byte preferred, priority and weight, "." is no server', async () => {
  const srv = {
    '_imaps._tcp.example.org': [
      record('b.example.org', 993, 20),
      record('a.example.org', 993, 10, 1),
      record('c.example.org', 993, 10, 9),
    ],
    '_imap._tcp.example.org': [record('old.example.org', 143)],
    '_pop3s._tcp.example.org': [record('.', 0)],
    '_submission._tcp.example.org': [record('smtp.example.org', 587)],
  };
  const [best] = (await discover('a@example.org', world({ srv }))).candidates;
  assert.deepEqual(best?.mail, {
    imap: { host: 'c.example.org', port: 993, tls: 'implicit' },
    smtp: { host: 'smtp.example.org', port: 587, tls: 'starttls' },
  });
  assert.equal(best?.caution, undefined);
});

test('SRV records that point out of the domain have to be confirmed (RFC 6186 §6)', async () => {
  const srv = { '_imaps._tcp.example.org': [record('imap.elsewhere.test', 993)] };
  const [best] = (await discover('a@example.org', world({ srv }))).candidates;
  assert.match(best!.caution!, /imap\.elsewhere\.test is outside example\.org/);
});

test('a third party hears of nothing unless told to, and then of the domain only', async () => {
  const silent = world({});
  const { attempts } = await discover('secret-name@example.org', silent);
  assert.equal(attempts.find(({ source }) => source === 'ispdb')?.outcome, 'not-asked');
  const asked = world({ files: { 'https://db.test/v1.1/example.org': file(IMAP) } });
  const found = await discover('secret-name@example.org', { ...asked, ispdb: 'https://db.test/v1.1' });
  assert.match(found.candidates[0]!.caution!, /somebody else’s database/);
  assert.ok(asked.asked.filter((url) => url.includes('db.test')).every((url) => !url.includes('secret-name')));
});

test('a source that fails is told and does not stop the others', async () => {
  const down = oauthError('oauth.provider-unreachable', 'autoconfig.example.org cannot be reached: refused');
  const given = world({
    files: { [AUTOCONFIG]: down, [WELL_KNOWN]: '<html>Welcome</html>' },
    mx: [{ exchange: 'aspmx.l.google.com', priority: 1 }],
  });
  const { candidates, attempts } = await discover('a@example.org', given);
  assert.equal(candidates[0]?.preset, 'google');
  assert.match(attempts.find(({ outcome }) => outcome === 'failed')!.note!, /refused/);
});

test('an answer that never comes does not keep anybody', async () => {
  const given = world({});
  const http: Http = {
    request: (_url, { signal }) =>
      new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(signal!.reason as Error))),
    close: () => Promise.resolve(),
  };
  const { attempts } = await discover('a@example.org', { ...given, http, timeoutMs: 20 });
  assert.equal(attempts.filter(({ note }) => note === 'no answer in time').length, 2);
});

for (const address of [
  '',
  'a',
  '@b.test',
  'a@',
  'a@b',
  'a@127.0.0.1',
  'a@[::1]',
  'a@b.test:80',
  'a@b.test/x',
  'a@u@b.test',
  'a@.test',
  'a@b..test',
]) {
  test(`${JSON.stringify(address)} is no address`, async () => {
    await assert.rejects(discover(address, world({})), (error) => isError(error, 'discover.address'));
  });
}

test('an international domain is asked for in its ASCII form', async () => {
  assert.equal((await discover('a@münchen.example', world({}))).domain, 'xn--mnchen-3ya.example');
});

const HOSTILE: readonly string[] = [
  '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
  '<a>&x;</a>',
  '<a>&#0;</a>',
  '<a>&#xD800;</a>',
  '<a><b></a></b>',
  '<a>',
  '<a></a><b></b>',
  '<a b=c/>',
  '<a b="1" b="2"/>',
  '<a b="<"/>',
  '<a b="1"c="2"/>',
  '<a><!-- </a>',
  '<a><![CDATA[ </a>',
  '',
  'text',
  '<a'.repeat(50_000),
  '<a>'.repeat(100) + '</a>'.repeat(100),
  `<a>${'<b/>'.repeat(5000)}</a>`,
];
for (const text of HOSTILE) {
  test(`XML is refused: ${text.slice(0, 40)}`, () => {
    assert.throws(
      () => readXml(text),
      (error) => isError(error, 'discover.garbled'),
    );
  });
}

test('XML as autoconfig files have it', () => {
  const root = readXml(
    '\ufeff<?xml version="1.0"?>\n<!-- x -->\n<a b=\'1 &lt; 2\'>\n <c/><![CDATA[<raw>]]> &#65;&#x42; </a>\n',
  );
  assert.equal(root.attributes['b'], '1 < 2');
  assert.equal(root.text, '<raw> AB');
  assert.deepEqual(
    root.children.map(({ name }) => name),
    ['c'],
  );
});

test('whatever the text, reading ends with an element or our error', () => {
  const piece = fc.constantFrom(
    '<a>',
    '</a>',
    '<b c="d"/>',
    '&amp;',
    '&',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<?x?>',
    'text',
    '"',
    '=',
    ' ',
    '<!',
    '\u0000',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      try {
        readXml(pieces.join(''));
      } catch (error) {
        assert.ok(isError(error, 'discover.garbled'), String(error));
      }
    }),
  );
});

test('a damaged file is read as servers with encryption, or refused', () => {
  const whole = file(IMAP + SMTP, '<oAuth2><issuer>id.example.org</issuer></oAuth2>');
  const damage = fc.record({ at: fc.nat(whole.length), length: fc.nat(20), text: fc.string({ maxLength: 10 }) });
  fc.assert(
    fc.property(damage, ({ at, length, text }) => {
      try {
        const { mail } = readAutoconfig(whole.slice(0, at) + text + whole.slice(at + length));
        for (const { host, port, tls } of Object.values(mail)) {
          assert.match(host, /^[a-z0-9.-]+$/);
          assert.ok(port > 0 && port < 65536 && ['implicit', 'starttls'].includes(tls));
        }
      } catch (error) {
        assert.ok(isError(error, 'discover.garbled'), String(error));
      }
    }),
  );
});
