/** The pages in a real browser: sign in, consent, cancel, device code, form post; nothing that the policy forbids. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { startSandbox, type Sandbox } from '../index.ts';
import { listen } from '../listen.ts';

const CHROMIUM = '/usr/bin/chromium';
let browser: Browser;
let sandbox: Sandbox;
let program: Server;
let redirectUri: string;
/** Bodies that the waiting program received by POST. */
const posted: string[] = [];
const contexts: BrowserContext[] = [];

before(async () => {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: install it with scripts/install-testbed.ts`);
  sandbox = await startSandbox();
  program = createServer((request, response) => {
    request.on('data', (bytes: Buffer) => posted.push(bytes.toString()));
    request.on('end', () => response.end('<p>back at the program</p>'));
  });
  redirectUri = `http://localhost:${await listen(program, 0, 'the program')}/callback`;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});
after(async () => {
  await browser.close();
  program.close();
  program.closeAllConnections();
  await sandbox.close();
});

/** A fresh browser session; whatever the console complains about fails the test that asks. */
async function openPage(): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  contexts.push(context);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints };
}

function authorizeUrl(more: Record<string, string> = {}): string {
  const url = new URL(`${sandbox.authority}/oauth2/v2.0/authorize`);
  const scope = 'openid offline_access https://outlook.office.com/IMAP.AccessAsUser.All';
  const client_id = sandbox.clients.public.id;
  const all = { client_id, response_type: 'code', redirect_uri: redirectUri, scope, state: '<s "1">&', ...more };
  for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
  return url.href;
}

test('bob signs in, reads what is asked, accepts; the second time nothing is asked', async () => {
  const { page, complaints } = await openPage();
  await page.goto(authorizeUrl());
  await page.getByText('This is a sandbox.').waitFor();
  await page.getByRole('button', { name: 'Bob Berger' }).click();
  await page.getByText('Read and change your mail over IMAP').waitFor();
  assert.equal(await page.getByText('Read and change your mail over IMAP').count(), 1);
  const font = await page.evaluate('getComputedStyle(document.querySelector("main")).maxWidth');
  assert.equal(font, '448px', 'the style sheet passed the policy');
  await page.getByRole('button', { name: 'Accept' }).click();
  await page.getByText('back at the program').waitFor();
  const back = new URL(page.url());
  assert.equal(back.searchParams.get('state'), '<s "1">&');
  assert.ok(back.searchParams.get('code'));
  await page.goto(authorizeUrl());
  await page.getByText('back at the program').waitFor();
  assert.deepEqual(complaints, []);
});

test('cancel goes back with access_denied', async () => {
  const { page } = await openPage();
  await page.goto(authorizeUrl({ prompt: 'consent' }));
  await page.getByRole('button', { name: 'Alice Andersson' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('back at the program').waitFor();
  assert.equal(new URL(page.url()).searchParams.get('error'), 'access_denied');
});

test('an address nobody has is said on the page, escaped, and the answer can be posted', async () => {
  const { page, complaints } = await openPage();
  await page.goto(authorizeUrl({ response_mode: 'form_post', login_hint: 'eve"><b>@contoso.test' }));
  const address = page.getByLabel('Address');
  assert.equal(await address.inputValue(), 'eve"><b>@contoso.test');
  await address.fill('eve@contoso.test');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('alert').getByText('AADSTS50034').waitFor();
  await address.fill('alice@contoso.test');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('button', { name: 'Accept' }).click();
  await page.getByText('back at the program').waitFor();
  assert.match(posted.at(-1) ?? '', /^code=.+&state=%3Cs\+%221%22%3E%26/);
  assert.deepEqual(complaints, []);
});

test('a device code is typed in by hand', async () => {
  const { page } = await openPage();
  const { origin } = new URL(sandbox.authority);
  const fields = { client_id: sandbox.clients.public.id, scope: 'https://outlook.office.com/SMTP.Send' };
  const response = await page.request.post(`${sandbox.authority}/oauth2/v2.0/devicecode`, { form: fields });
  const device = (await response.json()) as { user_code: string; device_code: string };
  await page.goto(`${origin}/devicelogin`);
  await page.getByLabel('Code').fill('WRONG');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Code').fill(device.user_code.toLowerCase());
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('button', { name: 'Alice Andersson' }).click();
  await page.getByRole('button', { name: 'Accept' }).click();
  await page.getByRole('status').waitFor();
  const form = { grant_type: 'device_code', client_id: fields.client_id, device_code: device.device_code };
  const token = await page.request.post(`${sandbox.authority}/oauth2/v2.0/token`, { form });
  assert.equal(token.status(), 200);
});
