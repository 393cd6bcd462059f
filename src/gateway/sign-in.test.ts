/** Every way in: three protocols, three kinds of listener, every mechanism; what the program may send before and after. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ADDRESS, PASSWORD } from '../../test/bed/fake-access.ts';
import { type Certificates, certificates, type FakeProvider, fakeProvider } from '../../test/bed/fake-provider.ts';
import { type Bench, startBench } from '../../test/bed/gateway.ts';
import type { Client } from '../../test/bed/line-client.ts';
import type { Protocol } from '../store/protocols.ts';

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');
const PLAIN = base64(`\0${ADDRESS}\0${PASSWORD}`);
const XOAUTH2 = base64(`user=${ADDRESS}\x01auth=Bearer ${PASSWORD}\x01\x01`);
const OAUTHBEARER = base64(`n,a=${ADDRESS},\x01auth=Bearer ${PASSWORD}\x01\x01`);

interface Way {
  readonly name: string;
  /** Client lines; after each but the last a continuation (`+` or `334`) is awaited. */
  readonly lines: readonly string[];
}

const way = (name: string, ...lines: readonly string[]): Way => ({ name, lines });
const WAYS: Readonly<Record<Protocol, readonly Way[]>> = {
  imap: [
    way('LOGIN atom', `a LOGIN ${ADDRESS} ${PASSWORD}`),
    way('LOGIN quoted', `a LOGIN "${ADDRESS}" "${PASSWORD}"`),
    way('LOGIN literal', `a LOGIN {${ADDRESS.length}}`, `${ADDRESS} {${PASSWORD.length}}`, PASSWORD),
    way('LOGIN literal+', `a LOGIN {${ADDRESS.length}+}\r\n${ADDRESS} {${PASSWORD.length}+}\r\n${PASSWORD}`),
    way('AUTHENTICATE PLAIN with initial response', `a AUTHENTICATE PLAIN ${PLAIN}`),
    way('AUTHENTICATE PLAIN', 'a AUTHENTICATE PLAIN', PLAIN),
    way('AUTHENTICATE LOGIN', 'a AUTHENTICATE LOGIN', base64(ADDRESS), base64(PASSWORD)),
    way('AUTHENTICATE XOAUTH2', `a AUTHENTICATE XOAUTH2 ${XOAUTH2}`),
    way('AUTHENTICATE OAUTHBEARER', `a AUTHENTICATE OAUTHBEARER ${OAUTHBEARER}`),
  ],
  pop3: [
    way('AUTH PLAIN with initial response', `AUTH PLAIN ${PLAIN}`),
    way('AUTH PLAIN', 'AUTH PLAIN', PLAIN),
    way('AUTH LOGIN', 'AUTH LOGIN', base64(ADDRESS), base64(PASSWORD)),
    way('AUTH XOAUTH2', 'AUTH XOAUTH2', XOAUTH2),
  ],
  smtp: [
    way('AUTH PLAIN with initial response', `AUTH PLAIN ${PLAIN}`),
    way('AUTH PLAIN', 'AUTH PLAIN', PLAIN),
    way('AUTH LOGIN', 'AUTH LOGIN', base64(ADDRESS), base64(PASSWORD)),
    way('AUTH LOGIN with user name', `AUTH LOGIN ${base64(ADDRESS)}`, base64(PASSWORD)),
    way('AUTH XOAUTH2', `AUTH XOAUTH2 ${XOAUTH2}`),
    way('AUTH OAUTHBEARER', `AUTH OAUTHBEARER ${OAUTHBEARER}`),
  ],
};
const OK: Readonly<Record<Protocol, RegExp>> = { imap: /^a OK /, pop3: /^\+OK/, smtp: /^235 2\.7\.0/ };
const START: Readonly<Record<Protocol, readonly [string, RegExp]>> = {
  imap: ['s STARTTLS', /^s OK/],
  pop3: ['STLS', /^\+OK/],
  smtp: ['STARTTLS', /^220/],
};
const PROTOCOLS: readonly Protocol[] = ['imap', 'pop3', 'smtp'];
const MODES = ['none', 'starttls', 'implicit'] as const;

let authority: Certificates;
const providers: FakeProvider[] = [];
let bench: Bench;

before(async () => {
  authority = await certificates();
  for (const protocol of PROTOCOLS)
    providers.push(await fakeProvider(protocol, authority, { tls: protocol === 'smtp' ? 'starttls' : 'implicit' }));
  const listeners = PROTOCOLS.flatMap((protocol) => MODES.map((tls) => ({ protocol, tls, oauth: true })));
  bench = await startBench(authority, listeners, providers);
});
after(async () => {
  await bench.close();
  for (const provider of providers) await provider.close();
});

const index = (protocol: Protocol, tls: (typeof MODES)[number]): number =>
  PROTOCOLS.indexOf(protocol) * 3 + MODES.indexOf(tls);

async function ready(protocol: Protocol, tls: (typeof MODES)[number]): Promise<Client> {
  const client = await bench.client(index(protocol, tls));
  await client.line();
  if (tls === 'starttls') {
    if (protocol === 'smtp') await client.ask('EHLO printer', /^250 /);
    await client.ask(...START[protocol]);
    await client.startTls(authority.ca);
  }
  if (protocol === 'smtp') await client.ask('EHLO printer', /^250 /);
  return client;
}

async function signIn(client: Client, protocol: Protocol, { lines }: Way): Promise<string> {
  for (const line of lines.slice(0, -1))
    assert.match(await client.ask(line, /./), protocol === 'smtp' ? /^334/ : /^\+/);
  return await client.ask(lines.at(-1)!, /^(?:a |\+OK|-ERR|\d{3} |<end>|\* BYE)/);
}

for (const protocol of PROTOCOLS) {
  describe(protocol, () => {
    for (const tls of MODES) {
      for (const one of WAYS[protocol]) {
        test(`${one.name}, tls ${tls}`, async () => {
          const client = await ready(protocol, tls);
          assert.match(await signIn(client, protocol, one), OK[protocol]);
          assert.equal(
            // SMTP commands are written again by us; what is said to NOOP means nothing (RFC 5321 §4.1.1.9).
            await client.ask('noop there', /./),
            { imap: 'noop OK did there', pop3: 'did noop there', smtp: '250 did NOOP' }[protocol],
          );
          const ended = bench.audit.next('session.ended');
          assert.match(
            await client.ask(protocol === 'imap' ? 'z LOGOUT' : 'QUIT', protocol === 'imap' ? /^z / : /./),
            /bye$/,
          );
          assert.equal(await client.line(), '<end>');
          assert.equal((await ended).outcome, 'ok');
        });
      }
    }

    test('A72: a guess under another authorization identity is looked at and counted like any other', async () => {
      for (const [password, reason] of [
        ['wrong', 'unknown-password'],
        [PASSWORD, 'wrong-mailbox'],
      ] as const) {
        const client = await ready(protocol, 'implicit');
        const refused = bench.audit.next('signin.local');
        const plain = base64(`other@x.test\0${ADDRESS}\0${password}`);
        const line = {
          imap: `a AUTHENTICATE PLAIN ${plain}`,
          pop3: `AUTH PLAIN ${plain}`,
          smtp: `AUTH PLAIN ${plain}`,
        };
        await signIn(client, protocol, way('', line[protocol]));
        assert.equal((await refused).data?.['reason'], reason);
      }
    });

    test('F67: who signs in acts as another where the app password opens both', async () => {
      bench.signIn.alsoOpens = 'sales@contoso.test';
      const told = bench.audit.next('signin.local');
      const plain = base64(`Sales@contoso.test\0${ADDRESS}\0${PASSWORD}`);
      const line = { imap: `a AUTHENTICATE PLAIN ${plain}`, pop3: `AUTH PLAIN ${plain}`, smtp: `AUTH PLAIN ${plain}` };
      const client = await ready(protocol, 'implicit');
      assert.match(await signIn(client, protocol, way('', line[protocol])), OK[protocol]);
      const { outcome, mailbox } = await told;
      assert.deepEqual({ outcome, mailbox }, { outcome: 'ok', mailbox: 'sales@contoso.test' });
      bench.signIn.alsoOpens = undefined;
    });

    test('a wrong password reaches no provider, and the right one afterwards is welcome', async () => {
      const provider = providers[PROTOCOLS.indexOf(protocol)]!;
      const before = provider.accepted;
      const client = await ready(protocol, 'implicit');
      const wrong = way(
        '',
        protocol === 'imap' ? `a LOGIN ${ADDRESS} wrong` : `AUTH PLAIN ${base64(`\0${ADDRESS}\0wrong`)}`,
      );
      const reply = await signIn(client, protocol, wrong);
      assert.match(
        reply,
        { imap: /^a NO \[AUTHENTICATIONFAILED\]/, pop3: /^-ERR \[AUTH\]/, smtp: /^535 5\.7\.8/ }[protocol],
      );
      assert.equal(provider.accepted, before);
      assert.match(await signIn(client, protocol, WAYS[protocol][0]!), OK[protocol]);
      assert.equal(provider.accepted, before + 1);
    });

    test('without TLS a starttls listener lets nobody sign in', async () => {
      const client = await bench.client(index(protocol, 'starttls'));
      await client.line();
      if (protocol === 'smtp') await client.ask('EHLO printer', /^250 /);
      const attempts = bench.signIn.attempts.length;
      const reply = await client.ask(WAYS[protocol][0]!.lines[0]!, /^(?:a |-ERR|\d{3} )/);
      assert.match(reply, { imap: /^a NO \[PRIVACYREQUIRED\]/, pop3: /^-ERR/, smtp: /^5\d\d / }[protocol]);
      assert.equal(bench.signIn.attempts.length, attempts);
    });
  });
}

test('POP3 USER and PASS', async () => {
  const client = await ready('pop3', 'implicit');
  assert.match(await client.ask(`USER ${ADDRESS}`, /./), /^\+OK/);
  assert.match(await client.ask(`PASS ${PASSWORD}`, /./), /^\+OK/);
  assert.equal(await client.ask('STAT', /./), 'did STAT');
});

test('SMTP with HELO only', async () => {
  const client = await bench.client(index('smtp', 'none'));
  await client.line();
  assert.match(await client.ask('HELO printer', /./), /^250 /);
  assert.match(await client.ask(`AUTH PLAIN ${PLAIN}`, /./), /^235/);
});

test('commands sent together with the sign-in reach the provider in order', async () => {
  const imap = await ready('imap', 'implicit');
  await imap.send(`a LOGIN ${ADDRESS} ${PASSWORD}`, 'b SELECT INBOX', 'c NOOP');
  assert.match((await imap.until(/^a /)).at(-1)!, /^a OK/);
  assert.equal(await imap.line(), 'b OK did SELECT INBOX');
  assert.equal(await imap.line(), 'c OK did NOOP');
  const pop3 = await ready('pop3', 'none');
  await pop3.send(`USER ${ADDRESS}`, `PASS ${PASSWORD}`, 'STAT', 'LIST');
  assert.match(await pop3.line(), /^\+OK/);
  assert.match(await pop3.line(), /^\+OK/);
  assert.equal(await pop3.line(), 'did STAT');
  assert.equal(await pop3.line(), 'did LIST');
});

test('the tagged OK names the provider’s capabilities that the path can honour', async () => {
  const client = await ready('imap', 'none');
  assert.equal(
    /\[CAPABILITY ([^\]]*)\]/.exec(await client.ask(`a LOGIN ${ADDRESS} ${PASSWORD}`, /^a /))?.[1],
    'IMAP4rev1 IDLE UIDPLUS LITERAL+',
  );
});

test('EHLO and CAPA before sign-in name what the provider has, once it is known', async () => {
  const smtp = await bench.client(index('smtp', 'implicit'));
  await smtp.line();
  await smtp.send('EHLO printer');
  const ehlo = (await smtp.until(/^250 /)).map((line) => line.slice(4));
  for (const line of ['SIZE 157286400', 'PIPELINING', 'SMTPUTF8', 'CHUNKING'])
    assert.ok(ehlo.includes(line), `${line} in ${ehlo.join(', ')}`);
  assert.ok(ehlo.some((line) => line.startsWith('AUTH ')));
  for (const hidden of ['XCLIENT NAME', 'STARTTLS']) assert.ok(!ehlo.includes(hidden), `no ${hidden}`);
  const pop3 = await bench.client(index('pop3', 'implicit'));
  await pop3.line();
  await pop3.send('CAPA');
  const capa = await pop3.until(/^\.$/);
  for (const line of ['TOP', 'UIDL', 'PIPELINING', 'USER'])
    assert.ok(capa.includes(line), `${line} in ${capa.join(', ')}`);
  assert.ok(!capa.includes('UTF8'));
});

test('EHLO asks providers that nobody has signed in at', async () => {
  const provider = await fakeProvider('smtp', authority, { tls: 'starttls', extensions: ['SIZE 1000', 'DSN'] });
  const fresh = await startBench(authority, [{ protocol: 'smtp' }], [provider], {
    deps: { endpoints: () => Promise.resolve([provider.endpoint]) },
  });
  const client = await fresh.client();
  await client.line();
  await client.send('EHLO printer');
  const lines = await client.until(/^250 /);
  assert.ok(
    lines.some((line) => line.endsWith('SIZE 1000')),
    lines.join(', '),
  );
  assert.deepEqual(provider.tokens, []);
  await fresh.close();
  await provider.close();
});

test('audit and log of one session share its id', async () => {
  const before = bench.audit.entries.length;
  const client = await ready('imap', 'none');
  await client.ask(`a LOGIN ${ADDRESS} ${PASSWORD}`, /^a OK/);
  const ended = bench.audit.next('session.ended');
  await client.send('y WAIT'); // never answered by its tag, so that the LOGOUT is the provider's to answer
  await client.ask('z LOGOUT', /bye/);
  const { sessionId } = await ended;
  const own = bench.audit.entries.slice(before).filter((entry) => entry.sessionId === sessionId);
  assert.deepEqual(
    own.map(({ type, outcome }) => `${type} ${outcome}`),
    ['signin.local ok', 'signin.upstream ok', 'session.ended ok'],
  );
  for (const { mailbox, data } of own) {
    assert.equal(mailbox, ADDRESS);
    assert.equal(data!['appPasswordId'], 'apw_1');
    assert.equal(data!['remoteAddress'], '127.0.0.1');
  }
  assert.equal(own.at(-1)!.data!['bytesToServer'], 'y WAIT\r\nz LOGOUT\r\n'.length);
  assert.equal(own.at(-1)!.data!['bytesToClient'], 'y OK did WAIT\r\n* BYE bye\r\nz OK bye\r\n'.length);
  assert.deepEqual(
    bench.log.filter(({ fields }) => fields['sessionId'] === sessionId).map(({ message }) => message),
    ['signed in', 'session ended'],
  );
});

test('an authorization identity other than the user is refused', async () => {
  const client = await ready('imap', 'none');
  const reply = await client.ask(`a AUTHENTICATE PLAIN ${base64(`bob@contoso.test\0${ADDRESS}\0${PASSWORD}`)}`, /^a /);
  assert.match(reply, /^a NO \[AUTHENTICATIONFAILED\]/);
});
