/** The least registration: what is in the plan, and that the printed scripts are what they say. */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { installFakeAz, type FakeAz } from '../../../test/bed/fake-az.ts';
import { privateFolder, runProgram } from '../../../test/bed/process.ts';
import { isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { FLOWS } from '../../store/flows.ts';
import type { Protocol } from '../../store/protocols.ts';
import { applyPlan, type ApplyOptions, type Registered } from './apply.ts';
import { openAz } from './az.ts';
import { makeCertificate } from './certificate.ts';
import { exchangeScript } from './exchange-script.ts';
import { requiredResourceAccess, withRequired } from './permissions.ts';
import { consentPage, planRegistration, type PlanRequest } from './plan.ts';
import { addCommand, azScript, portalSteps } from './script.ts';

const folder = privateFolder();
after(folder.remove);

const request = (change: Partial<PlanRequest> = {}): PlanRequest => ({
  name: 'Postern',
  flow: 'authorization-code',
  protocols: ['imap', 'smtp'],
  cloud: 'global',
  accounts: 'organization',
  smtpBy: 'role-assignment',
  mailboxes: ['scanner@contoso.test'],
  ...change,
});
const plan = (change: Partial<PlanRequest> = {}) => planRegistration(request(change));
const names = (change: Partial<PlanRequest>): string[] => plan(change).permissions.map(({ name }) => name);

test('a person’s consent: delegated permissions of the named protocols and of the sign-in, nothing else', () => {
  assert.deepEqual(names({}), ['IMAP.AccessAsUser.All', 'SMTP.Send', 'openid', 'profile', 'offline_access']);
  assert.deepEqual(names({ protocols: ['pop3'] }), ['POP.AccessAsUser.All', 'openid', 'profile', 'offline_access']);
  const { publicClient, redirectUris, credential, audience } = plan();
  assert.deepEqual(
    { publicClient, redirectUris, credential, audience },
    {
      publicClient: true,
      redirectUris: ['http://localhost'],
      credential: { type: 'none' },
      audience: 'AzureADMyOrg',
    },
  );
  assert.deepEqual(plan({ flow: 'device-code' }).redirectUris, []);
});

test('sending by Microsoft Graph is asked for only on demand: of people Mail.Send, of Exchange a role for one group', () => {
  assert.ok(!names({}).includes('Mail.Send'));
  const asked = plan({ graph: true });
  assert.deepEqual(
    asked.permissions.filter(({ name }) => name === 'Mail.Send').map(({ resource, type }) => [resource, type]),
    [['graph', 'Scope']],
  );
  assert.match(consentPage(asked, 'ID'), /graph\.microsoft\.com%2FMail\.Send/);
  assert.ok(azScript(asked).some((line) => /Mail\.Send: .*SMTP AUTH is switched off/.test(line)));
  assert.deepEqual(names({ graph: true, flow: 'certificate' }), ['IMAP.AccessAsApp']);
  const both = exchangeScript(plan({ graph: true, flow: 'certificate' }));
  assert.match(both, /by SMTP and Graph as members of one group/);
  assert.match(both, /-Role 'Application SMTP\.SendAsApp' -App \$AppId -CustomResourceScope \$ScopeName/);
  assert.match(both, /-Role 'Application Mail\.Send' -App \$AppId -CustomResourceScope \$ScopeName/);
  const alone = exchangeScript(plan({ graph: true, flow: 'certificate', protocols: ['imap'] }));
  assert.match(alone, /'Application Mail\.Send'/);
  assert.doesNotMatch(alone, /SendAsApp/);
});

test('app-only: application permissions, none for sending by role assignment', () => {
  assert.deepEqual(names({ flow: 'certificate' }), ['IMAP.AccessAsApp']);
  assert.deepEqual(names({ flow: 'client-secret', protocols: ['smtp'] }), []);
  assert.deepEqual(names({ flow: 'client-secret', protocols: ['smtp'], smtpBy: 'permission' }), ['SMTP.SendAsApp']);
  assert.equal(plan({ flow: 'certificate' }).publicClient, false);
});

test('what does not go together is refused with a way out', () => {
  const refused: readonly Partial<PlanRequest>[] = [
    { protocols: [] },
    { flow: 'client-secret', accounts: 'everyone' },
    { cloud: 'dod', accounts: 'personal' },
    { flow: 'federated' },
    { flow: 'managed-identity' },
  ];
  for (const change of refused)
    assert.throws(
      () => plan(change),
      (error) => isError(error, 'register.incomplete') && error.hint !== '',
    );
});

test('each cloud signs in at its own place, and the consent page asks for Outlook’s own scopes', () => {
  const page = new URL(consentPage(plan({ cloud: 'gcc-high', tenant: 'contoso.us' }), 'ID'));
  assert.equal(page.origin + page.pathname, 'https://login.microsoftonline.us/contoso.us/v2.0/adminconsent');
  assert.equal(
    page.searchParams.get('scope'),
    'https://outlook.office365.us/IMAP.AccessAsUser.All https://outlook.office365.us/SMTP.Send openid profile offline_access',
  );
  assert.doesNotMatch(page.search, /\+/);
});

test('what others added to a registration stays', () => {
  const present = [{ resourceAppId: 'other', resourceAccess: [{ id: 'x', type: 'Scope' as const }] }];
  const merged = withRequired(present, plan().permissions);
  assert.deepEqual(merged[0], present[0]);
  assert.deepEqual(merged[1], requiredResourceAccess(plan().permissions)[0]);
  assert.deepEqual(withRequired(merged, plan().permissions), merged);
});

/** A service account is Google's, where there is nothing to register so. */
const REGISTERED = FLOWS.filter((flow) => flow !== 'service-account');
const anyPlan = fc
  .record({
    name: fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
    flow: fc.constantFrom(...REGISTERED),
    protocols: fc.subarray<Protocol>(['imap', 'pop3', 'smtp'], { minLength: 1 }),
    cloud: fc.constantFrom('global' as const, 'gcc-high' as const, 'dod' as const, 'china' as const),
    smtpBy: fc.constantFrom('role-assignment' as const, 'permission' as const),
    mailboxes: fc.array(fc.emailAddress(), { maxLength: 3 }),
    group: fc.string({ minLength: 1, unit: 'grapheme' }),
  })
  .map((change) =>
    plan({ ...change, federated: { issuer: 'https://i.test', subject: "it's $HOME" }, managedIdentity: 'object-id' }),
  );

test('the Exchange script keeps names as text: no quote ends early, nothing is expanded', () => {
  fc.assert(
    fc.property(anyPlan, (any) => {
      for (const line of exchangeScript(any).split('\n')) assert.equal(unquoted(line), 'closed', line);
    }),
  );
});

/** Walks PowerShell's quoting rules over one line. */
function unquoted(line: string): 'closed' | 'open' {
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!;
    const single = /['\u2018-\u201b]/.test(char);
    if (quote === '' && char === '#') return 'closed';
    if (quote === '') quote = single ? "'" : char === '"' ? '"' : '';
    else if (quote === "'" && single) {
      if (/['\u2018-\u201b]/.test(line[at + 1] ?? '')) at++;
      else quote = '';
    } else if (quote === '"' && char === '"') quote = '';
  }
  return quote === '' ? 'closed' : 'open';
}

test('the Exchange script does what the flow needs, with checks and undo', () => {
  const imap = exchangeScript(plan({ flow: 'certificate', protocols: ['imap'] }), { clientId: 'C', objectId: 'O' });
  assert.match(imap, /New-ServicePrincipal -AppId \$AppId -ObjectId \$ObjectId/);
  assert.match(imap, /Add-MailboxPermission -Identity \$Mailbox -User \$Principal\.Identity -AccessRights FullAccess/);
  assert.doesNotMatch(imap, /SendAsApp|TransportConfig/);
  const smtp = exchangeScript(plan({ flow: 'certificate', protocols: ['smtp'] }));
  assert.match(
    smtp,
    /New-ManagementRoleAssignment .* -Role 'Application SMTP\.SendAsApp' -App \$AppId -CustomResourceScope/,
  );
  assert.doesNotMatch(smtp, /Add-MailboxPermission/);
  assert.match(smtp, /Set-CASMailbox -Identity \$Mailbox -SmtpClientAuthenticationDisabled \$false/);
  const delegated = exchangeScript(plan());
  assert.doesNotMatch(delegated, /ServicePrincipal/);
  for (const text of [imap, smtp, delegated])
    assert.equal(text.match(/^# Check:$/gm)?.length, text.match(/^# Undo:$/gm)?.length);
});

let az: FakeAz;
let home: string;
let round = 0;
beforeEach(() => {
  home = join(folder.path, String(round++));
  az = installFakeAz(home);
});

const bash = (text: readonly string[]) => {
  const file = join(home, 'register.sh');
  writeFileSync(file, text.join('\n'));
  return runProgram('bash', [file], { env: az.env, cwd: home });
};

for (const flow of REGISTERED) {
  test(`the printed commands do it: ${flow}`, async () => {
    const one = plan({
      flow,
      name: "O'Neil & Söhne $HOME",
      protocols: ['imap', 'pop3'],
      federated: { issuer: 'https://issuer.test/', subject: "system:it's $HOME" },
      managedIdentity: 'ec5a0000-0000-4000-8000-000000000001',
    });
    await bash(azScript(one));
    const made = az.directory();
    if (flow !== 'managed-identity') {
      assert.equal(made.applications[0]?.displayName, one.name);
      assert.deepEqual(made.applications[0].requiredResourceAccess, requiredResourceAccess(one.permissions));
      assert.equal(made.principals.at(-1)?.appId, made.applications[0].appId);
    }
    assert.equal(made.assignments.length, one.appOnly ? 2 : 0);
    if (flow === 'client-secret') {
      assert.equal(readFileSync(join(home, 'client-secret'), 'utf8').trim(), made.secrets[0]);
      assert.equal(statSync(join(home, 'client-secret')).mode & 0o077, 0);
    }
    if (flow === 'certificate') {
      assert.match(made.certificates[0]!, /BEGIN CERTIFICATE/);
      assert.doesNotMatch(made.certificates[0]!, /PRIVATE/);
    }
    if (flow === 'federated') assert.equal(made.federated[0]?.subject, "system:it's $HOME");
    assert.ok(portalSteps(one).length > 0 && addCommand(one, 'work', 'ID').startsWith('postern application add work'));
  });
}

test('P64: what fails in the commands does not end the shell they are pasted into', async () => {
  const one = plan({ flow: 'client-secret', protocols: ['imap'] });
  // Read as lines that are typed, by a shell in which nothing but `false` answers to az.
  const typed = ['az() { false; }', ...azScript(one), 'echo "status $?, still here, options $-"'];
  const { stdout } = await runProgram('bash', [], { env: az.env, cwd: home, input: `${typed.join('\n')}\n` });
  assert.match(stdout.toString(), /status 1, still here, options [^eu]*\n$/);
});

const applied: Registered[] = [];
const options = (change: Partial<ApplyOptions> = {}): ApplyOptions => {
  applied.length = 0;
  Object.assign(process.env, { FAKE_AZ: az.env.FAKE_AZ });
  return {
    az: openAz(join(home, 'bin', 'az')),
    progress: () => undefined,
    hasCredential: () => Promise.resolve(false),
    keep: (made) => Promise.resolve(void applied.push(made)),
    adminConsent: true,
    ...change,
  };
};
after(() => void delete process.env['FAKE_AZ']);

test('apply makes it, with the directory’s own ids, and a second run changes nothing', async () => {
  const one = plan({ flow: 'client-secret', protocols: ['imap', 'smtp'], smtpBy: 'permission' });
  const first = await applyPlan(one, options());
  assert.equal(first.outcome, 'created');
  assert.equal(first.consent, 'granted');
  const credential = applied[0]?.credential;
  assert.ok(credential?.type === 'secret');
  const { secrets, applications, assignments, calls } = az.directory();
  assert.equal(credential.secret.reveal(), secrets[0]);
  // The id of SMTP.SendAsApp differs from the table's, and the directory is believed.
  assert.ok(applications[0]!.requiredResourceAccess[0]!.resourceAccess.some(({ id }) => id.startsWith('aaaaaaaa-')));
  assert.ok(!calls.flat().some((word) => word.includes(secrets[0]!)), 'the secret is in no argument');

  const second = await applyPlan(one, options({ hasCredential: () => Promise.resolve(true) }));
  assert.deepEqual(second, { ...first, outcome: 'unchanged' });
  assert.deepEqual(az.directory().secrets, secrets);
  assert.deepEqual(az.directory().assignments, assignments);
});

test('apply completes what is there and keeps what others added', async () => {
  await applyPlan(plan({ protocols: ['imap'] }), options({ adminConsent: false }));
  const { applications } = az.directory();
  applications[0]!.requiredResourceAccess.push({
    resourceAppId: 'other',
    resourceAccess: [{ id: 'x', type: 'Scope' }],
  });
  az.change({ applications });
  const second = await applyPlan(plan({ protocols: ['imap', 'smtp'] }), options());
  assert.equal(second.outcome, 'completed');
  const text = JSON.stringify(az.directory().applications[0]);
  assert.ok(text.includes('258f6531') && text.includes('"other"'));
  assert.match(az.directory().grants[0]!.scope, /SMTP\.Send/);
});

test('what is more than mail needs is told and left', async () => {
  const lines: string[] = [];
  await applyPlan(plan(), options());
  const { applications } = az.directory();
  applications[0]!.requiredResourceAccess.push({
    resourceAppId: 'other',
    resourceAccess: [{ id: 'x', type: 'Scope' }],
  });
  az.change({ applications });
  await applyPlan(plan({ accounts: 'everyone' }), options({ progress: (line) => void lines.push(line) }));
  assert.match(
    lines.join('\n'),
    /lists 1 permission that mail does not need[\s\S]*is for AzureADMyOrg, not AzureADandPersonal/,
  );
});

test('where the Azure CLI cannot go, the steps are for hands', async () => {
  const dod = plan({ cloud: 'dod' });
  assert.ok(azScript(dod).every((line) => line.startsWith('#')));
  await assert.rejects(applyPlan(dod, options()), (error) => isError(error, 'register.wrong-cloud'));
});

test('apply uploads only the certificate', async () => {
  const certificate = await makeCertificate('Postern', 365, Date.now());
  await applyPlan(plan({ flow: 'certificate' }), options({ certificate }));
  assert.equal(az.directory().certificates[0]?.trim(), certificate.certificatePem.trim());
  assert.ok(applied[0]?.credential === certificate);
  const other = {
    ...certificate,
    privateKey: new Secret((await makeCertificate('x', 1, Date.now())).privateKey.reveal()),
  };
  await assert.rejects(
    applyPlan(plan({ flow: 'certificate', name: 'Other' }), options({ certificate: other })),
    /does not belong/,
  );
});

test('a failed consent loses no secret: it is kept before', async () => {
  az.change({ mayNotConsent: true });
  const one = plan({ flow: 'client-secret', protocols: ['imap'] });
  await assert.rejects(applyPlan(one, options()), (error) => isError(error, 'register.not-allowed'));
  assert.equal(applied.length, 1);
});

const trouble: readonly [code: string, change: Parameters<FakeAz['change']>[0]][] = [
  ['register.az-signed-out', { signedOut: true }],
  ['register.wrong-cloud', { cloud: 'AzureUSGovernment' }],
  ['register.not-allowed', { mayNotRegister: true }],
  ['register.no-exchange', { principals: [] }],
];
for (const [code, change] of trouble) {
  test(`apply explains: ${code}`, async () => {
    az.change(change);
    await assert.rejects(
      applyPlan(plan({ flow: 'client-secret', protocols: ['imap'] }), options()),
      (error) => isError(error, code) && error.hint !== '',
    );
  });
}

test('apply explains a missing az, and two applications of one name', async () => {
  await assert.rejects(applyPlan(plan(), options({ az: openAz(join(home, 'nothing')) })), (error) =>
    isError(error, 'register.az-missing'),
  );
  await applyPlan(plan(), options());
  const { applications } = az.directory();
  az.change({ applications: [...applications, { ...applications[0]!, appId: 'second' }] });
  await assert.rejects(
    applyPlan(plan(), options()),
    (error) => isError(error, 'register.ambiguous') && /second/.test(error.message),
  );
});
