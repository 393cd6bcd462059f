import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { errorTable } from '../base/error.ts';
import { builtIn } from '../oauth/catalogue/catalogue.ts';
import type { AppPassword } from '../store/types-access.ts';
import { changesFor, describeChanges, limitsFor, type Usage } from './advice.ts';
import { judgePasswords } from './app-passwords.ts';
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
  const data = { catalogue, tables: [errorTable({ limit: { 'gateway.slowed': 'wait' } })], faults };
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
  const made = errorTable({ later: { 'wire.unreachable': 'check the name' } });

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
    assert.equal(report.first?.remedy[1]?.run, 'postern application show work');
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

test('P57: what mail programs say of the gateway is explained', () => {
  const names = (query: string): readonly string[] => explain(query, { catalogue, tables: [] }).map(({ name }) => name);
  assert.deepEqual(names('Connection refused'), ['connection refused']);
  assert.deepEqual(names('ssl.SSLCertVerificationError: certificate verify failed'), ['certificate verify failed']);
  assert.deepEqual(names('The certificate issuer is unknown'), ['certificate verify failed']);
});
