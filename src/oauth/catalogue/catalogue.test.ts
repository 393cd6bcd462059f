import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { errorTable } from '../../base/error.ts';
import { errorFrom } from '../answer.ts';
import { builtIn, catalogue, catalogueProblem, installCatalogue, keepCatalogueAt } from './catalogue.ts';
import { describeRow, diagnose, findRow, remedyText, withRemedy, type Facts } from './diagnose.ts';
import { evidenceIn, evidenceOf } from './evidence.ts';
import { oauthError } from '../errors.ts';
import { applicationFacts } from './facts.ts';
import { catalogueSchema } from './schema.ts';
import { openSigned, PUBLISHERS, signCatalogue } from './signature.ts';

const data = builtIn();
const folder = mkdtempSync(join(tmpdir(), 'postern-catalogue-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('the built-in edition', () => {
  test('fits the schema', () => {
    assert.deepEqual(catalogueSchema.parse(data), data);
    assert.ok(data.errors.length > 150);
  });

  test('no number is claimed by two rows', () => {
    const numbers = data.errors.flatMap((row) => row.match.flatMap((one) => ('aadsts' in one ? one.aadsts : [])));
    assert.deepEqual(
      numbers.filter((code, index) => numbers.indexOf(code) !== index),
      [],
    );
    assert.ok(numbers.length > 150, String(numbers.length));
  });

  test('what a token request can end with says what that means', () => {
    const without = data.errors.filter(
      (row) => row.match.some((one) => 'aadsts' in one || 'oauth' in one) && row.outcome === undefined,
    );
    assert.deepEqual(
      without.map(({ id }) => id),
      [],
    );
  });

  test('what passes by itself is nobody’s consent to give', () => {
    const confused = data.errors.filter((row) => row.outcome === 'later' && row.passesWhen === undefined);
    assert.deepEqual(
      confused.map(({ id }) => id),
      [],
    );
  });

  test('sentences are lower case, without a full stop, and leave no unknown placeholder', () => {
    for (const row of data.errors) {
      const { cause, remedy } = describeRow(row);
      for (const text of [cause, ...remedy.map((step) => step.do)])
        assert.doesNotMatch(text, /^[A-Z][a-z]+ (?!365|Online|Workspace)(?:the|a) |\.$/, `${row.id}: ${text}`);
      assert.doesNotMatch(JSON.stringify([cause, remedy]), /[{]\w+[}]/, row.id);
    }
  });
});

describe('every row is found by what it is for', () => {
  const clock = new ManualClock();

  for (const row of data.errors)
    test(row.id, () => {
      for (const match of row.match) {
        if ('aadsts' in match)
          for (const code of match.aadsts) {
            const body = { error: 'invalid_grant', error_description: `AADSTS${code}: words.`, error_codes: [code] };
            const error = errorFrom({ status: 400, headers: {}, body }, clock);
            assert.equal(diagnose(error).id, row.id);
            assert.equal(error.hint, remedyText(describeRow(row).remedy));
            assert.equal(error.kind === 'later', row.passesWhen !== undefined, String(code));
            assert.equal(findRow(evidenceIn(`AADSTS${code}`))?.id, row.id);
            assert.equal(findRow(evidenceIn(String(code)))?.id, row.id);
          }
        if ('reply' in match)
          for (const example of match.reply.examples) assert.equal(findRow(evidenceIn(example))?.id, row.id, example);
        if ('oauth' in match && !/[|(\\]/.test(match.oauth.description ?? '')) {
          const { error, suberror, description } = match.oauth;
          const body = { error, error_subtype: suberror, error_description: description };
          assert.equal(findRow(evidenceOf(errorFrom({ status: 400, headers: {}, body }, clock)))?.id ?? '', row.id);
        }
        if ('graph' in match)
          for (const code of match.graph.codes) assert.equal(findRow(evidenceIn(code))?.id, row.id, code);
        if ('sasl' in match)
          for (const status of match.sasl.status) assert.equal(findRow({ sasl: status })?.id, row.id);
        if ('ours' in match && !/[|^]/.test(match.ours.reason ?? '')) {
          const { code, reason = '' } = match.ours;
          assert.equal(findRow({ ours: [{ code, reason }] })?.id, row.id);
        }
      }
    });
});

describe('evidence', () => {
  const made = errorTable({
    refused: { 'gateway.provider-refused': 'ask' },
    denied: { 'sasl.refused': 'x', 'oauth.needs-consent': 'consent' },
    limit: { 'none.known': 'less of it for {address}' },
  });

  test('the mail server’s words count more than our codes, whoever wrapped them', () => {
    const reply = '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. x';
    const cause = made('sasl.refused', 'refused', { detail: { reply, host: 'smtp.example' } });
    const error = made('gateway.provider-refused', 'not let in', { cause, detail: { code: 'sasl.refused' } });
    const found = diagnose(error, { address: 'a@example.com' });
    assert.equal(found.id, 'smtp.auth-off-mailbox');
    assert.match(remedyText(found.remedy), /Set-CASMailbox -Identity a@example\.com /);
    assert.equal(
      diagnose(made('gateway.provider-refused', 'x', { detail: { code: 'sasl.refused' } })).id,
      'sasl.refused',
    );
  });

  test('the provider’s words that a grant keeps are understood again', () => {
    const error = made('oauth.needs-consent', 'revoked', { detail: { reason: 'invalid_grant AADSTS50173' } });
    assert.equal(diagnose(error).id, 'microsoft.grant-revoked');
    assert.equal(
      diagnose(made('oauth.needs-consent', 'x', { detail: { reason: 'invalid_grant' } })).id,
      'oauth.grant-ended',
    );
  });

  test('a SASL report counts when the reply says nothing', () => {
    const error = made('sasl.refused', 'x', { detail: { reply: 'NO nothing known', failure: { status: '401' } } });
    assert.equal(diagnose(error).id, 'sasl.token-expired');
  });

  test('what is not in the catalogue is told by the error itself', () => {
    const found = diagnose(made('none.known', 'too much'), { address: 'a@b' });
    assert.deepEqual(found, {
      id: 'none.known',
      cause: 'too much',
      blame: 'program',
      remedy: [{ do: 'less of it for a@b' }],
      sources: [],
    });
  });

  test('reply lines are known with and without a tag', () => {
    for (const line of ['A01 NO AUTHENTICATE failed.', '* BYE Session invalidated - AccessTokenExpired'])
      assert.ok(findRow(evidenceIn(line)), line);
  });
});

describe('signed editions', () => {
  const pair = generateKeyPairSync('ed25519');
  const publishers = [pair.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')];
  const edition = (number: number, key: KeyObject = pair.privateKey): string =>
    signCatalogue(JSON.stringify({ ...data, edition: number }), key);

  test('what was signed is read; a stranger’s signature is not', () => {
    assert.equal(openSigned(edition(7), publishers).edition, 7);
    assert.throws(() => openSigned(edition(7), PUBLISHERS), { code: 'oauth.catalogue-untrusted' });
    assert.throws(() => openSigned(edition(7, generateKeyPairSync('ed25519').privateKey), publishers), {
      code: 'oauth.catalogue-untrusted',
    });
  });

  test('no changed octet gets in', () => {
    const text = edition(7);
    fc.assert(
      fc.property(fc.nat(text.length - 2), fc.integer({ min: 1, max: 127 }), (at, by) => {
        const changed = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ by) + text.slice(at + 1);
        try {
          // What changes nothing but the envelope's own white space may pass; what it carries may not differ.
          assert.deepEqual(openSigned(changed, publishers), { ...data, edition: 7 });
        } catch (error) {
          assert.match((error as { code: string }).code, /^oauth\.catalogue-un(?:readable|trusted)$/);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('the publishers’ keys are keys', () => {
    assert.throws(() => openSigned(edition(7), ['bm9uc2Vuc2U=']), { code: 'oauth.catalogue-untrusted' });
    assert.ok(PUBLISHERS.length > 0);
    assert.throws(() => openSigned(edition(7), PUBLISHERS), { message: /signature/ });
  });

  test('a newer edition takes over, also in a process that runs; an older one does not', () => {
    const home = { path: join(folder, 'catalogue.json'), publishers };
    keepCatalogueAt(home);
    assert.equal(catalogue().edition, data.edition);
    const { before, now } = installCatalogue(edition(data.edition + 2), home);
    assert.deepEqual(
      [before.edition, now.edition, catalogue().edition],
      [data.edition, data.edition + 2, data.edition + 2],
    );
    assert.throws(() => installCatalogue(edition(data.edition + 1), home), { code: 'oauth.catalogue-older' });
    installCatalogue(edition(data.edition + 3), home);
    assert.equal(catalogue().edition, data.edition + 3);
  });

  test('a spoilt file costs nothing but itself', () => {
    const home = { path: join(folder, 'spoilt.json'), publishers };
    writeFileSync(home.path, edition(data.edition + 9).replace('grant', 'grunt'));
    keepCatalogueAt(home);
    assert.equal(catalogue().edition, data.edition);
    assert.equal(catalogueProblem()?.code, 'oauth.catalogue-untrusted');
    writeFileSync(home.path, edition(data.edition + 9));
    utimesSync(home.path, 1, 1);
    assert.equal(catalogue().edition, data.edition + 9);
    assert.equal(catalogueProblem(), undefined);
  });
});

test('P53: with the facts of a case no remedy leaves a place for the person to fill in', () => {
  const facts = applicationFacts(
    { name: 'work', clientId: '1b4e28ba-2fa1-11d2-883f-0016d3cca427', tenant: undefined, settings: {} },
    'alice@contoso.test',
  );
  assert.equal(facts.tenant, 'contoso.test');
  for (const row of catalogue().errors) {
    // The name of an application that is yet to be added is the person's choice.
    const text = remedyText(describeRow(row, { ...facts, host: 'mail.contoso.test' }).remedy).replaceAll(
      /application add NAME --preset [\w-]+ --client-id CLIENT-ID|Virtual machines > NAME/g,
      '',
    );
    assert.doesNotMatch(text, /[{}]|\b(?:ADDRESS|NAME|TENANT|CLIENT-ID)\b/, row.id);
  }
  const refused = oauthError('oauth.admin-consent', 'an administrator has to consent first', {
    detail: { error: 'invalid_grant', error_codes: [90094] },
    hint: 'open https://login.microsoftonline.com/TENANT/adminconsent?client_id=CLIENT-ID',
  });
  const { code, detail, hint, kind, message } = withRemedy(refused, facts);
  assert.deepEqual([code, detail, kind, message], [refused.code, refused.detail, refused.kind, refused.message]);
  assert.match(hint, /contoso\.test\/adminconsent\?client_id=1b4e28ba-.*postern mailbox reconsent alice@contoso\.test/);
  const other = oauthError('oauth.misconfigured', 'something of ours');
  assert.equal(withRemedy(other, facts), other);
});

test('P54, P56: a remedy names the protocols that are meant and whoever signed in, and leaves out other kinds of mailboxes', () => {
  const told = (id: string, facts: Facts): string =>
    remedyText(
      describeRow(
        catalogue().errors.find((row) => row.id === id)!,
        facts,
      ).remedy,
    );
  const address = 'alice@contoso.test';
  assert.match(told('token.scope', { address, protocols: 'imap,smtp' }), /--protocols imap,smtp$/);
  assert.match(
    told('token.identity', { address, delegate: 'bob@contoso.test' }),
    /mailbox reconsent alice@contoso\.test --shared-with bob@contoso\.test/,
  );
  const steps = catalogue().errors.filter(({ remedy }) => remedy.some((step) => step.access !== undefined));
  assert.ok(steps.length >= 4);
  for (const { id } of steps) {
    assert.doesNotMatch(told(id, { address, access: 'app-only' }), /DELEGATE|for a shared mailbox/, id);
    assert.doesNotMatch(told(id, { address, access: 'own' }), /app-only|shared/, id);
    assert.doesNotMatch(told(id, { address, access: 'shared' }), /for app-only access/, id);
  }
});
