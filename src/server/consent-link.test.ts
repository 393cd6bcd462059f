import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { openTenantHome, type TenantHome } from '../../test/bed/tenant-home.ts';
import { ManualClock } from '../base/clock.ts';
import { Secret } from '../base/secret.ts';
import { startSandbox, type Sandbox } from '../sandbox/index.ts';
import { type Console, startConsole } from './http.ts';
import { type ConsentPages, consentLink, consoleAddress, openConsentPages } from './consent-link.ts';

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

const link = async (): Promise<string> => (await consentLink(home.instance, base, ALICE))!;
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
  assert.match(await finished.text(), /signed in, but alice/);
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
  assert.match(await finished.text(), /declined/);
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
