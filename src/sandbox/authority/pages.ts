/** The pages a person sees: account, consent, device code, done, failure. No scripts but one, no outside assets. */
import { createHash, randomBytes } from 'node:crypto';
import type { ErrorBody } from './aadsts.ts';
import type { RegisteredApplication, User } from './directory.ts';
import { html, Html } from './html.ts';

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --page: #f3f5f7; --card: #fff; --line: #8c959f;
  --action: #0b5cad; --action-ink: #fff; --warn: #7a4b00; --warn-page: #fff4d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9edf1; --soft: #a5b0bb; --page: #14181d; --card: #1e242b;
  --line: #75808b; --action: #7cb8f5; --action-ink: #0a1a2b; --warn: #ffd98a; --warn-page: #3a2d10; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 28rem; padding: 2rem; background: var(--card); border-radius: .5rem;
  box-shadow: 0 .1rem .8rem rgb(0 0 0 / .18); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; }
p, ul { margin: 0 0 1rem; }
ul { padding-left: 1.25rem; }
.org { color: var(--soft); margin: 0 0 1rem; }
.sandbox { margin: 1.5rem 0 0; padding: .75rem 1rem; border-left: .25rem solid var(--warn); background: var(--warn-page);
  color: var(--warn); font-size: .9rem; }
.problem { padding: .75rem 1rem; border-left: .25rem solid #c62828; background: rgb(198 40 40 / .1); }
label { display: block; font-weight: 600; margin-bottom: .25rem; }
input { width: 100%; font: inherit; padding: .5rem .75rem; border: 1px solid var(--line); border-radius: .25rem;
  background: var(--card); color: var(--ink); margin-bottom: 1rem; }
button { font: inherit; padding: .5rem 1.25rem; border: 1px solid var(--line); border-radius: .25rem; background: var(--card);
  color: var(--ink); cursor: pointer; min-height: 2.75rem; }
button.main { background: var(--action); border-color: var(--action); color: var(--action-ink); }
button.account { display: block; width: 100%; text-align: left; margin-bottom: .5rem; }
button.account span { display: block; color: var(--soft); }
.actions { display: flex; justify-content: flex-end; gap: .75rem; }
:focus-visible { outline: .2rem solid var(--action); outline-offset: .15rem; }
details { margin-top: 1rem; } summary { cursor: pointer; }
code { font-family: ui-monospace, monospace; font-size: .875em; }
dl { margin: 0; font-size: .875rem; } dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
`;
/** One piece, because the policy's hash covers every blank of it. */
const STYLE_ELEMENT = new Html(`<style>${STYLE}</style>`);
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

const SECURITY_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** @param formTarget where a form's redirect may lead besides this server (browsers hold `form-action` against redirects too) */
function page(
  title: string,
  body: Html,
  options: { status?: number; formTarget?: string; nonce?: string } = {},
): Response {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${STYLE_HASH}'`,
    ...(options.nonce === undefined ? [] : [`script-src 'nonce-${options.nonce}'`]),
    `form-action 'self'${options.formTarget === undefined ? '' : ` ${options.formTarget}`}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  const text = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} – Contoso sandbox</title>
        ${STYLE_ELEMENT}
      </head>
      <body>
        <main>
          <p class="org">Contoso · contoso.test</p>
          ${body}
          <p class="sandbox">
            <strong>This is a sandbox.</strong> A pretended tenant on this machine for testing mail programs. It is not
            Microsoft, it has no passwords, and nothing here opens a real mailbox.
          </p>
        </main>
      </body>
    </html> `;
  const headers = { ...SECURITY_HEADERS, 'content-security-policy': policy.join('; ') };
  return new Response(text.text, { status: options.status ?? 200, headers });
}

/** Chooses who signs in. `problem` says why the last choice did not work. */
export function accountPage(view: {
  readonly flow: string;
  readonly application: RegisteredApplication;
  readonly users: readonly User[];
  readonly hint: string | undefined;
  readonly problem?: string;
  readonly formTarget?: string;
}): Response {
  const body = html`<h1>Sign in</h1>
<p>to continue to <strong>${view.application.name}</strong></p>
${view.problem === undefined ? undefined : html`<p class="problem" role="alert">${view.problem}</p>`}
<form method="post" action="/sandbox/sign-in">
<input type="hidden" name="flow" value="${view.flow}">
${view.users.map((user) => html`<button class="account" name="user" value="${user.address}">${user.name}<span>${user.address}</span></button>`)}
</form>
<details${view.problem === undefined && view.hint === undefined ? undefined : html` open`}>
<summary>Use another address</summary>
<form method="post" action="/sandbox/sign-in">
<input type="hidden" name="flow" value="${view.flow}">
<label for="user">Address</label>
<input id="user" name="user" type="email" autocomplete="username" required value="${view.hint}">
<div class="actions"><button class="main">Next</button></div>
</form>
</details>`;
  return page('Sign in', body, view);
}

/** Lists what the application asks for, in plain words with the permission's name. */
export function consentPage(view: {
  readonly flow: string;
  readonly application: RegisteredApplication;
  readonly user: User;
  readonly permissions: readonly { readonly name: string; readonly words: string }[];
  /** For everybody in the organisation, by an administrator. */
  readonly admin?: boolean;
  readonly formTarget?: string;
}): Response {
  const body = html`<h1>${view.admin ? 'Permissions for your organisation' : 'Permissions requested'}</h1>
    <p>
      <strong>${view.application.name}</strong> would like to do the following as
      <strong>${view.user.address}</strong>${view.admin ? ' and everybody else in Contoso' : undefined}:
    </p>
    <ul>
      ${view.permissions.map((permission) => html`<li>${permission.words} <code>${permission.name}</code></li>`)}
    </ul>
    <form method="post" action="/sandbox/consent">
      <input type="hidden" name="flow" value="${view.flow}" />
      <div class="actions">
        <button name="decision" value="cancel">Cancel</button>
        <button class="main" name="decision" value="accept">Accept</button>
      </div>
    </form>`;
  return page('Permissions requested', body, view);
}

/** Where the person types the code that the device shows. */
export function deviceCodePage(problem?: string): Response {
  const body = html`<h1>Enter code</h1>
    <p>Enter the code that your program or device shows.</p>
    ${problem === undefined ? undefined : html`<p class="problem" role="alert" id="problem">${problem}</p>`}
    <form method="post" action="/common/oauth2/deviceauth">
      <label for="otc">Code</label>
      <input
        id="otc"
        name="otc"
        required
        autocomplete="off"
        autocapitalize="characters"
        spellcheck="false"
        maxlength="16"
        ${problem === undefined ? undefined : html` aria-invalid="true" aria-describedby="problem"`}
      />
      <div class="actions"><button class="main">Next</button></div>
    </form>`;
  return page('Enter code', body, { status: problem === undefined ? 200 : 400 });
}

/** The end of something that has nowhere to go back to. */
export function messagePage(title: string, text: string): Response {
  return page(
    title,
    html`<h1>${title}</h1>
      <p role="status">${text}</p>`,
  );
}

/** A refusal that must not be sent to a redirect URI nobody has checked. */
export function failurePage(body: ErrorBody, status: number): Response {
  const details = html`<h1>Sorry, but we’re having trouble signing you in</h1>
    <p class="problem" role="alert">${body.error_description.split(' Trace ID: ')[0]}</p>
    <dl>
      <dt>Error</dt>
      <dd><code>${body.error}</code></dd>
      <dt>Correlation ID</dt>
      <dd><code>${body.correlation_id}</code></dd>
      <dt>Timestamp</dt>
      <dd><code>${body.timestamp}</code></dd>
    </dl>`;
  return page('Trouble signing in', details, { status });
}

/** Carries the answer to the redirect URI in a form (OAuth 2.0 Form Post Response Mode §2). */
export function formPostPage(redirectUri: string, parameters: URLSearchParams): Response {
  const nonce = randomBytes(16).toString('base64');
  const body = html`<h1>Working …</h1>
    <form method="post" action="${redirectUri}">
      ${[...parameters].map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
      <div class="actions"><button class="main">Continue</button></div>
    </form>
    <script nonce="${nonce}">
      document.forms[0].submit();
    </script>`;
  return page('Working', body, { nonce, formTarget: formTargetOf(redirectUri) });
}

/** The `form-action` source that lets a form's redirect reach this URI: its origin, or its scheme where it has none. */
export function formTargetOf(redirectUri: string): string {
  const url = new URL(redirectUri);
  return url.origin === 'null' ? url.protocol : url.origin;
}
