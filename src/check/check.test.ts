import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../base/clock.ts';
import { errorTable } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { builtIn } from '../oauth/catalogue/catalogue.ts';
import type { AppPassword } from '../store/types.ts';
import { changesFor, describeChanges, limitsFor, type Usage } from './advice.ts';
import { judgePasswords } from './app-passwords.ts';
import { redactor } from './bundle/redact.ts';
import { tar } from './bundle/tar.ts';
import { allTopics, explain, searchExplanations, suggest } from './explain.ts';
import { parseResponse } from '../protocol/imap/response.ts';
import { isBodyStructure } from './newest-message.ts';
import { reportOf, Steps } from './step.ts';

const catalogue = builtIn();
const DAY_MS = 86_400_000;

describe('the archive', () => {
  test('is what tar reads', () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-tar-'));
    try {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 2000 }), { minLength: 1, maxLength: 5 }), (contents) => {
          const entries = contents.map((content, index) => ({ name: `a/${index}.bin`, content: Buffer.from(content) }));
          const path = join(folder, 'x.tar');
          writeFileSync(path, tar(entries, 1_700_000_000));
          for (const { name, content } of entries)
            assert.deepEqual(execFileSync('tar', ['-xOf', path, name], { maxBuffer: 1 << 20 }), content);
        }),
        { numRuns: 10 },
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('redaction', () => {
  test('no secret survives, whole or encoded, wherever it stands', () => {
    const value = fc
      .string({ minLength: 8, maxLength: 60, unit: 'grapheme-ascii' })
      .filter((text) => text.trim().length >= 8);
    fc.assert(
      fc.property(value, fc.string({ maxLength: 9 }), fc.string({ maxLength: 9 }), (secret, before, after) => {
        const clean = redactor([new Secret(secret)]);
        for (const text of [
          secret,
          encodeURIComponent(secret),
          Buffer.from(`${before}${secret}${after}`).toString('base64'),
          Buffer.from(secret).toString('base64url'),
          JSON.stringify({ x: secret }),
        ]) {
          const left = clean(`${before}${text}${after}`);
          assert.ok(!left.includes(secret), left);
          assert.ok(!Buffer.from(left.replaceAll('[secret]', ''), 'base64').includes(Buffer.from(secret)), left);
        }
      }),
    );
  });

  test('what has the shape of a secret goes too', () => {
    const clean = redactor([]);
    for (const [text, gone] of [
      ['the password abcdefghjkmnpqrs0123456789 was given', 'abcdefghjkmnpqrs0123456789'],
      ['database: postgres://u:s3cr3t-word@db/x', 's3cr3t-word'],
      ['  clientSecret: some words here', 'some words'],
      ['-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----', 'MC4CAQ'],
    ] as const)
      assert.ok(!clean(text).includes(gone), clean(text));
    const id = 'grant_abcdefghjkmnpqrs0123456789';
    assert.equal(clean(`grant ${id} is well`), `grant ${id} is well`);
  });

  test('S7: known values in any case, with dashes, in parts, in whatever encoding', () => {
    const known = `1.AXoAq-${createHash('sha512').update('a token').digest('base64url')}-end`;
    const clean = redactor([new Secret(known), new Secret('correct-horse-battery')]);
    const user = Buffer.from(`\0alice@example.com\0correct-horse-battery`);
    for (const text of [
      known.toUpperCase(),
      known.toLowerCase(),
      known.replaceAll('-', ''),
      known.slice(0, 70),
      known.slice(-70),
      known.match(/.{1,20}/g)!.join('\r\n  '),
      `a=${encodeURIComponent(known)}`,
      'CORRECT HORSE BATTERY',
      'correcthorsebattery',
      user.toString('base64'),
      user.toString('base64url'),
      Buffer.from(`x${known}`).toString('base64').replace(/.{76}/g, '$&\n'),
      Buffer.from(known).toString('hex').toUpperCase(),
    ])
      assert.match(clean(`before ${text} after`), /^before \S{0,2}(?:\[secret\]\s?)+\S{0,2} after$/, text);
  });

  test('A9: forms, escapes, colours and labels do not hide a secret', () => {
    const microsoft = 'sandbox~secret/for+contoso-only';
    const clean = redactor([new Secret(microsoft)]);
    const password = 'hjk7qpabcdefghjkmnpqrs0123';
    for (const text of [
      new URLSearchParams({ client_secret: microsoft }).toString(),
      `{"line":"first\\n${password}"}`,
      `user=alice%3A${password}`,
      `pw-${password}`,
      `\u001b[32m${password}\u001b[0m`,
      `\\u0022${password}\\u0022`,
      `sasl-${Buffer.from(`\0alice@example.com\0${password}`).toString('base64')}`,
      `/x/${Buffer.from(`\0alice@example.com\0${password}`).toString('base64')}`,
    ]) {
      const said = clean(text);
      assert.match(said, /\[secret\]/, text);
      assert.ok(!said.includes(password) && !said.includes('contoso') && !/AG[A-Za-z0-9+/]{30}/.test(said), said);
    }
    for (const text of [
      'apw_abcdefghjkmnpqrs0123456789',
      'sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    ])
      assert.equal(clean(text), text);
  });

  test('A39: an app password or API key in every usual encoding, joined, grouped and broken over lines', () => {
    const password = 'hjk7qpabcdefghjkmnpqrs0123';
    const key = 'postern_0123456789abcdefghjkmnpqrstvwxyz';
    const clean = redactor([new Secret(key)], new Map(), (word) => word === password || `postern_${word}` === key);
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const plainSignIn = (value: string): string => base64(`\0alice@contoso.test\0${value}`);
    for (const value of [password, key]) {
      const octets = [...Buffer.from(value)];
      const hex = (octet: number): string => octet.toString(16).padStart(2, '0');
      for (const text of [
        value,
        value.toUpperCase(),
        base64(value),
        base64(base64(value)),
        Buffer.from(value).toString('hex'),
        octets.map(hex).join(':'),
        octets.map(hex).join(' '),
        octets.map((octet) => `%${hex(octet).toUpperCase()}`).join(''),
        octets.map((octet) => `\\u00${hex(octet)}`).join(''),
        octets.map((octet) => `&#${octet};`).join(''),
        octets.map((octet) => `&#x${hex(octet)};`).join(''),
        JSON.stringify(octets),
        `${value.slice(0, 12)}\n${value.slice(12)}`,
        `${value.slice(0, 12)}\\n${value.slice(12)}`,
        `${value.slice(0, 12)}=\\r\\n${value.slice(12)}`,
        `/v1/messages/${value}/x`,
        `pw${value}`,
        `password_${value}_end`,
        `${value}abc`,
        `pass=${value}&x=1`,
        `AUTH PLAIN ${plainSignIn(value)}`,
        `${plainSignIn(value).slice(0, 30)} ${plainSignIn(value).slice(30)}`,
        plainSignIn(value).replace(/.{20}/g, '$&\n'),
        plainSignIn(value).replace(/.{20}/g, '$&\\r\\n'),
        base64(`user=alice@contoso.test\u0001auth=Bearer ${value}\u0001\u0001`),
        Buffer.from(value, 'utf16le').toString('base64'),
        value.match(/.{1,4}/g)!.join('.'),
        value.match(/.{1,4}/g)!.join('  '),
        `sasl${plainSignIn(value)}`,
        `response:x${base64(value)}`,
      ]) {
        const said = clean(`before >>> ${text} <<< after`);
        assert.match(said, /^before >>> .*<<< after$/s, text);
        assert.match(said, /\[secret\]/, text);
        const rest = said.replaceAll('[secret]', '').replace(/[^A-Za-z0-9]/g, '').length;
        assert.ok(rest < 'beforeafter'.length + 26, `${text} → ${said}`);
      }
    }
    for (const text of ['key_abcdefghjkmnpqrs0123456789', 'apw_0123456789hjkmnpqrstvwxyza of alice@contoso.test'])
      assert.equal(clean(text), text);
  });

  test('S7: shapes of secrets nobody told us', () => {
    const clean = redactor([]);
    const password = 'abcdefghjkmnpqrs0123456789';
    const grouped = password.replace(/.{4}/g, '$&-');
    for (const text of [
      password,
      password.toUpperCase(),
      grouped,
      grouped.toUpperCase(),
      grouped.replaceAll('-', ' '),
      Buffer.from(`\0alice\0${password}`).toString('base64'),
      Buffer.from(`\0alice\0any words at all`).toString('base64'),
      Buffer.from(`alice:${password}`).toString('base64'),
      Buffer.from(grouped.toUpperCase()).toString('base64'),
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=',
      Buffer.from('the whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw').toString('base64'),
      'postern_0123456789abcdefghjkmnpqrstvwxyz',
      'POSTERN_0123456789ABCDEFGHJKMNPQRSTVWXYZ',
      'postern_0123-4567-89ab-cdef-ghjk-mnpq-rstv-wxyz',
      `eyJ0eXAiOiJKV1Qi.eyJhdWQiOiIwMDAw.c2lnbmF0dXJl`,
    ])
      assert.match(clean(`before ${text} after`), /^before \[secret\] after$/, text);
    for (const [text, gone] of [
      ['http://localhost:7993/consent/WyJhQGIuYyIsMV0.c2lnbmF0dXJl', 'WyJhQGIuYyIsMV0'],
      ['next=http%3A%2F%2Flocalhost%2Fconsent%2FWyJhQGIuYyIsMV0.c2lnbmF0dXJl', 'c2lnbmF0dXJl'],
      ['Authorization: Basic c2hvcnQ6cHc=', 'c2hvcnQ6cHc='],
      ['AUTH PLAIN AGEAYWJjZA==', 'AGEAYWJjZA'],
    ] as const)
      assert.ok(!clean(text).includes(gone), clean(text));
    for (const text of [
      '2026-11-30T14:47:53.120Z 10 20 30 40 50 60 70 80 90 11 12 13',
      'sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      'http://localhost:7993/consent/',
    ])
      assert.equal(clean(text), text);
  });

  test('people become numbers', () => {
    const clean = redactor([], new Map([['alice@example.com', 'mailbox-1@example.com']]));
    assert.equal(clean('Alice@Example.com, alice%40example.com.'), 'mailbox-1@example.com, mailbox-1@example.com.');
  });
});

describe('advice', () => {
  const usage: Usage = {
    address: 'a@example.com',
    preset: 'microsoft',
    flow: 'authorization-code',
    protocols: ['imap', 'smtp'],
    hosts: ['outlook.office365.com'],
  };
  const now = Date.parse('2026-11-21');
  const ids = (changed: Partial<Usage>, at = now): readonly string[] =>
    changesFor(catalogue, { ...usage, ...changed }, at).map(({ id }) => id);

  test('changes concern those who use what changes', () => {
    assert.ok(ids({}).includes('exchange-smtp-basic-off'));
    assert.ok(!ids({ protocols: ['imap'] }).includes('exchange-smtp-basic-off'));
    assert.ok(!ids({}).includes('microsoft-device-code-blocked'));
    assert.ok(ids({ flow: 'device-code' }).includes('microsoft-device-code-blocked'));
    assert.ok(ids({ hosts: ['imap-legacy.office365.com'] }).includes('exchange-legacy-tls'));
    assert.ok(!ids({}).includes('exchange-legacy-tls'));
    assert.deepEqual(ids({ preset: 'google' }), []);
    assert.deepEqual(ids({}, Date.parse('2031-01-01')), []);
  });

  test('what somebody has to act on is a warning, with the date and what to do', () => {
    const found = describeChanges(catalogue, { ...usage, flow: 'device-code' }, now);
    assert.match(found.warning?.cause ?? '', /^2025-11-30: /);
    assert.match(found.warning?.remedy[0]?.run ?? '', /reconsent a@example\.com --flow browser/);
    assert.equal(describeChanges(catalogue, usage, now).warning, undefined);
  });

  test('limits are those of the provider and the protocols', () => {
    const what = limitsFor(catalogue, { preset: 'google', protocols: ['smtp'] }).map(({ id }) => id);
    assert.ok(what.length > 0 && what.every((id) => id.startsWith('google-')));
  });
});

describe('app passwords', () => {
  const now = Date.UTC(2026, 10, 21);
  const row = (change: Partial<AppPassword>): AppPassword => ({
    id: 'apw_1',
    label: 'mutt',
    hash: 'x',
    mailboxes: ['a@example.com'],
    protocols: ['imap'],
    networks: [],
    createdAt: now - 40 * DAY_MS,
    expiresAt: undefined,
    revokedAt: undefined,
    lastUsedAt: now - DAY_MS,
    ...change,
  });
  for (const [name, change, id] of [
    ['used yesterday', {}, undefined],
    ['never used', { lastUsedAt: undefined }, 'home.passwords-unused'],
    ['never used, but new', { lastUsedAt: undefined, createdAt: now - DAY_MS }, undefined],
    ['never used, but revoked', { lastUsedAt: undefined, revokedAt: now - 1 }, undefined],
    ['not for a year', { lastUsedAt: now - 365 * DAY_MS }, 'home.passwords-idle'],
    ['ends next week', { expiresAt: now + 7 * DAY_MS }, 'home.passwords-ending'],
    ['has ended', { expiresAt: now - 1, lastUsedAt: undefined }, undefined],
    ['opens everything', { mailboxes: ['*'] }, 'home.passwords-broad'],
    ['opens everything from one network', { mailboxes: ['*'], networks: ['10.0.0.0/8'] }, undefined],
  ] as const)
    test(name, () => assert.equal(judgePasswords([row(change)], now).warning?.id, id));
});

describe('explain', () => {
  const faults = [
    {
      id: 'smtp-sender-limit',
      title: 'the quota',
      stage: 'smtp',
      bites: 'the end',
      does: '554 5.2.0 SubmissionQuotaExceeded',
    },
  ];
  const data = { catalogue, tables: [errorTable({ 'gateway.slowed': { kind: 'limit', hint: 'wait' } })], faults };
  const names = (query: string): readonly string[] => explain(query, data).map(({ name }) => name);

  test('every topic by its name and by its other names, each only once', () => {
    const all = allTopics(catalogue);
    const words = all.flatMap(({ name, also }) => [name, ...also]);
    assert.deepEqual(
      words.filter((word, index) => words.indexOf(word) !== index),
      [],
    );
    for (const { name, also } of all) for (const word of [name, ...also]) assert.equal(names(word)[0], name, word);
    for (const wanted of ['flows', 'consent', 'phishing', 'device-code', 'app-passwords', 'calendar', 'limits'])
      assert.ok(all.some(({ name }) => name === wanted));
  });

  for (const [query, name] of [
    ['AADSTS50173', 'microsoft.grant-revoked'],
    ['aadsts7000222', 'microsoft.secret-expired'],
    ['50076', 'microsoft.mfa-required'],
    ['invalid_grant', 'oauth.grant-ended'],
    ['gateway.slowed', 'gateway.slowed'],
    ['microsoft.secret-expired', 'microsoft.secret-expired'],
    ['A1 NO AUTHENTICATE failed.', 'imap.sign-in-refused'],
    ['535', '535'],
    ['550 5.7.60', 'smtp.send-as-denied'],
    ['N16: 5.7.60', 'smtp.send-as-denied'],
    ['N16: 554 5.2.252', 'smtp.send-as-denied'],
    ['N16: 535 5.7.139', '535 5.7.139'],
    ['N16: -ERR [SYS/TEMP] mailbox locked', 'pop3.unavailable'],
    ['N16: oauth', 'oauth'],
    ['N16: client credentials', 'app-only'],
    ['N16: backup', 'backup'],
    ['N16: emergency', 'emergency'],
    ['N16: smtp-sender-limit', 'smtp-sender-limit'],
    ['N16: BYE [OVERQUOTA] Account exceeded command or bandwidth limits.', 'imap.google-daily-traffic'],
    ...(
      [
        500113, 900971, 9002325, 9002326, 9002327, 500201, 650051, 900561, 5000224, 700222, 90009, 530084, 1002016,
        50203,
      ] as const
    ).map((code) => [`N16: AADSTS${code}`, 'microsoft.'] as const),
    ['ErrorSendAsDenied', 'graph.send-as-denied'],
  ] as const)
    test(query, () => {
      const found = names(query.replace('N16: ', ''));
      assert.ok(
        found.some((one) => (name.endsWith('.') ? one.startsWith(name) : one === name)),
        found.join(),
      );
    });

  test('a mistyped word is understood, nonsense is not', () => {
    assert.ok(suggest('devcie-code', data).includes('device-code'));
    assert.ok(suggest('phising', data).includes('phishing'));
    assert.ok(suggest('gateway.slwed', data).includes('gateway.slowed'));
    assert.deepEqual(names('qqqq wwww'), []);
    assert.deepEqual(suggest('qqqqqqqq', data), []);
  });

  test('the search wants all words, and names count more', () => {
    const found = searchExplanations('shared mailbox', data);
    assert.equal(found[0]?.name, 'shared-mailboxes');
    assert.deepEqual(searchExplanations('shared qqqq', data), []);
  });
});

describe('steps', () => {
  const made = errorTable({ 'wire.unreachable': { kind: 'later', hint: 'check the name' } });

  test('a step that throws has failed, and the first failure is told in one sentence', async () => {
    const steps = new Steps(new ManualClock(), {}, { address: 'a@example.com', application: 'work' });
    const findings = [
      await steps.run('one', 'one', () => ({ says: 'fine' })),
      await steps.run('two', 'two', () => {
        throw made('wire.unreachable', 'no', { detail: { host: 'mail.example', reason: 'ENOTFOUND' } });
      }),
      await steps.run('three', 'three', () => {
        throw new TypeError('a defect');
      }),
    ];
    const report = reportOf({ type: 'mailbox', address: 'a@example.com' }, findings, 0);
    assert.equal(report.outcome, 'failed');
    assert.equal(report.first?.sentence, 'The name mail.example does not exist in DNS.');
    assert.equal(report.first?.remedy[1]?.run, 'postern provider show work');
    assert.deepEqual(
      findings.map(({ outcome, error }) => [outcome, error?.kind]),
      [
        ['ok', undefined],
        ['failed', 'later'],
        ['failed', 'bug'],
      ],
    );
  });

  test('warnings are no failure, and a stopped check stops', async () => {
    const stop = new AbortController();
    const steps = new Steps(new ManualClock(), { signal: stop.signal });
    const warning = { id: 'x', cause: 'it is late', blame: 'user' as const, remedy: [] };
    const found = await steps.run('one', 'one', () => ({ says: 'late', warning }));
    const report = reportOf({ type: 'mailbox', address: 'a@example.com' }, [found], 0);
    assert.deepEqual([report.outcome, report.first?.sentence], ['warnings', 'It is late.']);
    stop.abort(new Error('enough'));
    await assert.rejects(
      steps.run('two', 'two', () => ({ says: '' })),
      /enough/,
    );
  });
});

describe('BODYSTRUCTURE', () => {
  const text = '("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 12 1 NIL NIL NIL NIL)';
  const image = '("IMAGE" "PNG" NIL NIL NIL "BASE64" 100 NIL ("attachment" ("FILENAME" "a) \\"b\\".png")) NIL NIL)';
  for (const [name, structure, good] of [
    ['a text', text, true],
    ['a multipart', `(${text}${image} "MIXED" ("BOUNDARY" "x") NIL NIL NIL)`, true],
    [
      'a message in a message',
      `("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 300 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ${text} 9 NIL ("attachment" NIL) NIL NIL)`,
      true,
    ],
    ['without extension data', '("TEXT" "PLAIN" NIL NIL NIL "7BIT" 12 1)', true],
    ['a disposition that is no list', text.replace(/NIL NIL NIL\)$/, '"inline" NIL NIL)'), false],
    ['an empty disposition', text.replace(/NIL NIL NIL\)$/, '(NIL NIL) NIL NIL)'), false],
    ['brackets that do not close', text.slice(0, -1), false],
    ['nothing', '', false],
  ] as const)
    test(name, () => {
      const response = parseResponse([`* 1 FETCH (UID 1 BODYSTRUCTURE ${structure})`]);
      const items = response.type === 'fetch' ? response.items : new Map();
      assert.equal(isBodyStructure(items.get('BODYSTRUCTURE')), good);
    });
});
