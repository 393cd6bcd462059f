import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { openTenantHome, type TenantHome } from '../../test/bed/tenant-home.ts';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { Secret } from '../base/secret.ts';
import { startSandbox, type Sandbox } from '../sandbox/index.ts';
import { type Console, startConsole } from './http.ts';
import { consentLink, invitationLink } from '../onboard/consent-link.ts';
import { consoleAddress } from './console-address.ts';
import { type ConsentPages, openConsentPages } from './consent-sign-in.ts';
import { perform } from '../admin/act.ts';
import { removeMailbox } from '../admin/mailboxes.ts';

const ALICE = 'alice@contoso.test';
const clock = new ManualClock(Date.now());
let sandbox: Sandbox;
let home: TenantHome;
let console: Console;
let pages: ConsentPages;
let base: string;

before(async () => {
  sandbox = await startSandbox({ clock });
  home = await openTenantHome(sandbox, { clock });
  await home.connect(await home.application(), { address: ALICE });
  const robot = await home.application({
    clientId: sandbox.clients.certificate.id,
    credential: {
      type: 'certificate',
      certificatePem: sandbox.clients.certificate.certificatePem,
      privateKey: new Secret(sandbox.clients.certificate.privateKeyPem),
    },
  });
  await home.connect(robot, { address: 'bob@contoso.test', flow: 'certificate' });
  console = await startConsole({
    host: '127.0.0.1',
    port: 0,
    metrics: () => Promise.resolve(''),
    ready: () => Promise.resolve([]),
    pages: (request) => pages.handle(request),
  });
  base = `http://localhost:${console.port}/`;
});
beforeEach(() => {
  pages?.close();
  pages = openConsentPages(home.instance, base);
});
after(async () => {
  pages.close();
  await console.close();
  await home.close();
  await sandbox.close();
});

const link = async (): Promise<string> => {
  const made = (await consentLink(home.instance, base, ALICE))!;
  // Whoever signs in does so later than the link was made.
  clock.jump(1);
  return made;
};
const grant = async () => {
  const { store } = home.instance;
  return (await store.grants.find((await store.mailboxes.find(ALICE))!.grantId))!;
};
const post = (url: string): Promise<Response> => fetch(url, { method: 'POST', redirect: 'manual' });
const cookieOf = (response: Response): string => response.headers.get('set-cookie')!.split(';')[0]!;
const open = (url: URL, cookie: string): Promise<Response> => fetch(url, { headers: { cookie } });

test('a password change is announced with a reason, and one link restores the mailbox with all it had', async () => {
  const { store, tokens } = home.instance;
  const before = await grant();
  const mailbox = (await store.mailboxes.find(ALICE))!;
  sandbox.changePassword(ALICE);
  await clock.advance(7_200_000);
  await assert.rejects(tokens.accessToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
  const { state } = await grant();
  assert.ok(state.type === 'needs-consent');
  assert.match(state.code, /AADSTS50173/);
  assert.match(state.reason, /password/);

  const url = await link();
  const shown = await fetch(url);
  const text = await shown.text();
  assert.equal(shown.status, 200);
  assert.match(text, /Sign in for alice@contoso\.test/);
  assert.match(text, /read and organise mail \(IMAP\)/);
  assert.match(text, /Did you not expect this\?/);
  assert.match(shown.headers.get('content-security-policy')!, /default-src 'none'/);

  const started = await post(url);
  assert.equal(started.status, 303);
  assert.match(started.headers.get('set-cookie')!, /HttpOnly; SameSite=Lax/);
  const answer = await sandbox.approve(started.headers.get('location')!, ALICE);
  assert.equal(answer.origin + answer.pathname, base);
  const finished = await open(answer, cookieOf(started));
  assert.equal(finished.status, 200);
  assert.match(await finished.text(), /flows again/);

  const now = await grant();
  assert.deepEqual([now.id, now.state.type], [before.id, 'active']);
  assert.deepEqual(await store.mailboxes.find(ALICE), mailbox);
  assert.match((await tokens.accessToken(mailbox, 'imap')).value.reveal(), /^ey/);
  assert.equal((await open(answer, cookieOf(started))).status, 400, 'an answer counts once');
});

test('looking at a link starts nothing, as programs that scan mail look at every link', async () => {
  const asked = sandbox.requests.length;
  const started = home.events.length;
  const url = await link();
  for (let n = 0; n < 3; n++) await (await fetch(url)).text();
  await (await fetch(url, { method: 'HEAD' })).text();
  assert.deepEqual([sandbox.requests.length, home.events.length], [asked, started]);
});

test('whoever is not the owner changes nothing', async () => {
  const before = await grant();
  const started = await post(await link());
  const answer = await sandbox.approve(started.headers.get('location')!, 'bob@contoso.test');
  const finished = await open(answer, cookieOf(started));
  assert.equal(finished.status, 400);
  const said = await finished.text();
  assert.match(said, /You signed in as bob@contoso\.test, but this is about alice@contoso\.test/);
  assert.doesNotMatch(said, /postern /);
  assert.deepEqual(await grant(), before);
});

test('an answer is taken from the browser that started it only', async () => {
  const started = await post(await link());
  const answer = await sandbox.approve(started.headers.get('location')!, ALICE);
  assert.equal((await open(answer, '')).status, 400);
  assert.equal((await open(answer, 'postern-consent=guess')).status, 400);
  const forged = new URL(answer);
  forged.searchParams.set('state', 'other');
  assert.equal((await open(forged, cookieOf(started))).status, 400);
  assert.equal((await open(answer, cookieOf(started))).status, 200);
});

test('people elsewhere are led where they can come', () => {
  const console = { ...home.instance.config.console, port: 7993 };
  assert.equal(consoleAddress({ console }), 'http://localhost:7993/');
  assert.equal(
    consoleAddress({ console: { ...console, tls: true }, hostname: 'mail.example.com' }),
    'https://mail.example.com:7993/',
  );
  const publicUrl = 'https://postern.example.com';
  assert.equal(consoleAddress({ console: { ...console, tls: true, publicUrl } }), publicUrl);
});

test('declining is told as such', async () => {
  const started = await post(await link());
  const state = new URL(started.headers.get('location')!).searchParams.get('state')!;
  const answer = new URL(`${base}?error=access_denied&state=${state}`);
  const finished = await open(answer, cookieOf(started));
  assert.equal(finished.status, 400);
  assert.match(await finished.text(), /You did not agree/);
});

test('a link is over after a week, when altered, and for nothing that signs in by itself', async () => {
  const url = await link();
  clock.jump(6 * 86_400_000);
  assert.equal((await fetch(url)).status, 200);
  assert.equal((await fetch(`${url.slice(0, -2)}AA`)).status, 404);
  const other = Buffer.from(JSON.stringify(['bob@contoso.test', 9e15])).toString('base64url');
  assert.equal((await fetch(url.replace(/consent\/[^.]+/, `consent/${other}`))).status, 404);
  clock.jump(86_400_001);
  assert.equal((await fetch(url)).status, 404);
  assert.equal((await post(url)).status, 404);
  assert.equal(await consentLink(home.instance, base, 'bob@contoso.test'), undefined);
  assert.equal(await consentLink(home.instance, base, 'nobody@contoso.test'), undefined);
});

test('nobody waits for ever, and the other pages of the console are as before', async () => {
  const started = await post(await link());
  const answer = await sandbox.approve(started.headers.get('location')!, ALICE);
  await clock.advance(600_001);
  assert.equal((await open(answer, cookieOf(started))).status, 400);
  assert.equal((await fetch(`${base}healthz`)).status, 200);
  assert.equal((await fetch(base)).status, 404);
  assert.equal((await post(`${base}healthz`)).status, 405);
});

/** Everything a page must be: HTML, a strict policy without exceptions, no command for an owner. */
function isPage(response: Response, text: string, status: number): void {
  assert.equal(response.status, status, text);
  assert.match(response.headers.get('content-type')!, /^text\/html/);
  assert.match(
    response.headers.get('content-security-policy')!,
    /^default-src 'none'; style-src 'sha256-[\w+/=]{44}'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'$/,
  );
  const forOwner = text.replace(/<section class="others">.*<\/section>/s, '');
  assert.doesNotMatch(forOwner, /\bpostern [a-z]|AADSTS|oauth\.|<script|style=|\bon[a-z]+=/);
  assert.doesNotMatch(text, /\b(?:ADDRESS|TENANT|CLIENT-ID|NAME)\b|\{\w+\}/);
}

async function shown(url: string | URL, status: number, init: RequestInit = {}): Promise<string> {
  const response = await fetch(url, init);
  const text = await response.text();
  isPage(response, text, status);
  return text;
}

test('N10: whatever is below /consent/ is answered with a page', async () => {
  for (const path of ['rubbish', '', 'a.b', 'a/b', '..%2f', '%ff.%ff'])
    assert.match(await shown(`${base}consent/${path}`, 404), /This link does not work/);
  await shown(await link(), 405, { method: 'DELETE' });
});

test('N10: a link is closed as soon as the mailbox is connected, by it or otherwise', async () => {
  const [one, other] = [await link(), await link()];
  await signIn(one);
  for (const url of [one, other]) {
    assert.match(await shown(url, 410), /Somebody has signed in for alice@contoso\.test since this link was made/);
    assert.equal((await post(url)).status, 410);
  }
  assert.match(await shown(await link(), 200), /That works at the moment/);
});

async function signIn(url: string, as = ALICE): Promise<string> {
  const started = await post(url);
  const answer = await sandbox.approve(started.headers.get('location')!, as);
  return shown(answer, 200, { headers: { cookie: cookieOf(started) } });
}

test('N10: what an administrator has to do is said to the administrator, with every place filled in', async () => {
  const { store } = home.instance;
  const application = await home.application({ name: 'mail-app' });
  const codes = [
    'AADSTS90094',
    'AADSTS65001',
    'AADSTS700016',
    'AADSTS50011',
    'AADSTS50105',
    'AADSTS53000',
    'AADSTS7000218',
  ];
  for (const code of codes) {
    const url = await invitationLink(home.instance, base, {
      address: 'carol@contoso.test',
      applicationId: application.id,
      protocols: ['imap'],
    });
    const started = await post(url);
    const state = new URL(started.headers.get('location')!).searchParams.get('state')!;
    const query = new URLSearchParams({ error: 'access_denied', error_description: `${code}: No.`, state });
    const text = await shown(`${base}?${query.toString()}`, 400, { headers: { cookie: cookieOf(started) } });
    const others = /<section class="others">.*<\/section>/s.exec(text)?.[0] ?? '';
    assert.match(others, /For (?:an administrator of your organisation|whoever runs your mail)/, code);
    assert.match(others, /carol@contoso\.test/, code);
    assert.doesNotMatch(others, /reconsent/, code);
    assert.match(others, new RegExp(`mail-app, client id ${application.clientId}`), code);
  }
  assert.equal(await store.mailboxes.find('carol@contoso.test'), undefined);
});

test('N10, N8: a first consent by link says so, opens the mailbox, and the link is over for good', async () => {
  const { store } = home.instance;
  const application = await home.application();
  const invite = (): Promise<string> =>
    invitationLink(home.instance, base, {
      address: 'sales@contoso.test',
      applicationId: application.id,
      protocols: ['imap', 'smtp'],
      sharedWith: ALICE,
    });
  const older = await invite();
  clock.jump(1);
  const url = await invite();
  clock.jump(1);
  await shown(older, 404);
  const asked = await shown(url, 200);
  assert.match(asked, /It needs your permission for that, once/);
  assert.doesNotMatch(asked, /has ended/);
  assert.match(asked, /Sign in there as <strong>alice@contoso\.test<\/strong>, who may open sales@contoso\.test/);
  assert.match(await signIn(url), /The mailbox <strong>sales@contoso\.test<\/strong> is connected/);
  const made = (await store.mailboxes.find('sales@contoso.test'))!;
  assert.deepEqual([made.access, made.protocols], ['shared', ['imap', 'smtp']]);
  assert.equal((await store.audit.latest({ type: 'mailbox.added', mailbox: made.address, limit: 5 })).length, 1);
  await shown(url, 410);
  await store.mailboxes.remove(made.address);
  await shown(url, 404);
});

test('S13: 100 starts of one link block no other', async () => {
  const application = await home.application({ name: 'another' });
  const url = await link();
  for (let at = 0; at < 110; at++) assert.equal((await post(url)).status, 303, `start ${at}`);
  const invited = { address: 'sales@contoso.test', applicationId: application.id, protocols: ['imap'] as const };
  const other = await invitationLink(home.instance, base, { ...invited, sharedWith: ALICE });
  assert.equal((await post(other)).status, 303);
});

/** A sign-in at the provider that only has to come back. */
async function begin(url: string, as: string): Promise<() => Promise<Response>> {
  const started = await post(url);
  const answer = await sandbox.approve(started.headers.get('location')!, as);
  return () => open(answer, cookieOf(started));
}

const remove = (address: string): Promise<unknown> =>
  perform(removeMailbox, home.instance, { type: 'system-user', name: 'root' }, { address });

test('A86: a mailbox that was removed is not opened again by a sign-in that was begun before', async () => {
  const { store } = home.instance;
  const application = await home.application({ name: 'a86' });
  const address = 'imap-throttled@contoso.test';
  const invited = { address, applicationId: application.id, protocols: ['imap', 'smtp'] as const };
  const url = await invitationLink(home.instance, base, invited);
  clock.jump(1);
  const [first, second] = [await begin(url, address), await begin(url, address)];
  await shownBy(await first(), 200, /is connected/);
  await remove(address);
  const grants = (await store.grants.list()).length;
  await shownBy(await second(), 400, /was removed, set up otherwise, or a newer link was made/);
  assert.equal(await store.mailboxes.find(address), undefined);
  assert.equal((await store.grants.list()).length, grants);

  // The same where the link was for a mailbox that was there.
  const again = await invitationLink(home.instance, base, invited);
  clock.jump(1);
  await shownBy(await (await begin(again, address))(), 200, /is connected/);
  const link = (await consentLink(home.instance, base, address))!;
  clock.jump(1);
  const late = await begin(link, address);
  await remove(address);
  await shownBy(await late(), 400, /was removed/);
  assert.equal(await store.mailboxes.find(address), undefined);
});

test('A86: a link that a newer one replaced opens nothing, even if its sign-in had begun', async () => {
  const { store } = home.instance;
  const application = await home.application({ name: 'a86-replaced' });
  const address = 'pop-only@contoso.test';
  const invite = (protocols: readonly ('imap' | 'pop3' | 'smtp')[]): Promise<string> =>
    invitationLink(home.instance, base, { address, applicationId: application.id, protocols, sharedWith: ALICE });
  const wide = await begin(await invite(['imap', 'pop3', 'smtp']), ALICE);
  clock.jump(1);
  const narrow = await invite(['imap']);
  await shownBy(await wide(), 400, /use that one/);
  assert.equal(await store.mailboxes.find(address), undefined);
  const [one, other] = [await begin(narrow, ALICE), await begin(narrow, ALICE)];
  clock.jump(1);
  await shownBy(await one(), 200, /is connected/);
  await shownBy(await other(), 410, /Somebody has signed in for pop-only@contoso\.test/);
  assert.deepEqual((await store.mailboxes.find(address))?.protocols, ['imap']);
});

test('A86: a sign-in that was begun in the last minutes of a link may be finished after its end', async () => {
  const url = await link();
  clock.jump(7 * 86_400_000 - 60_000);
  const finish = await begin(url, ALICE);
  clock.jump(120_000);
  await shownBy(await finish(), 200, /flows again/);
});

async function shownBy(response: Response, status: number, says: RegExp): Promise<void> {
  const text = await response.text();
  isPage(response, text, status);
  assert.match(text, says);
}
