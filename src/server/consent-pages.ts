/** What the owner of a mailbox sees when a link brings them here. No scripts, no outside assets, one style named by its hash. */
import { createHash } from 'node:crypto';
import { stepText } from '../oauth/catalogue/diagnose.ts';
import type { GrantState } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { FailureText } from './consent-texts.ts';

const NAMES = { imap: 'read and organise mail (IMAP)', pop3: 'fetch mail (POP3)', smtp: 'send mail (SMTP)' } as const;

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --page: #f3f5f7; --card: #fff; --line: #c3cad2;
  --action: #0b5cad; --action-ink: #fff; --good: #1a7f37; --bad: #c62828; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9edf1; --soft: #a5b0bb; --page: #14181d; --card: #1e242b;
  --line: #4b5560; --action: #7cb8f5; --action-ink: #0a1a2b; --good: #57d179; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 32rem; padding: 2rem; background: var(--card); border-radius: .5rem;
  border-top: .3rem solid var(--action); box-shadow: 0 .1rem .8rem rgb(0 0 0 / .18); overflow-wrap: anywhere; }
main.good { border-top-color: var(--good); }
main.bad { border-top-color: var(--bad); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
p, ul, ol { margin: 0 0 1rem; }
ul, ol { padding-left: 1.25rem; }
.brand { color: var(--soft); margin: 0 0 1rem; font-size: .9rem; }
.small { color: var(--soft); font-size: .9rem; }
.small:last-child { margin-bottom: 0; }
button, .button { display: inline-block; font: inherit; font-weight: 600; padding: .6rem 1.25rem; min-height: 2.75rem;
  border: 1px solid var(--action); border-radius: .25rem; background: var(--action); color: var(--action-ink);
  cursor: pointer; text-decoration: none; }
form { margin: 0 0 1rem; }
:focus-visible { outline: .2rem solid var(--action); outline-offset: .15rem; }
.others { margin: 1.5rem 0 0; padding: 1rem; border: 1px solid var(--line); border-radius: .25rem; font-size: .9rem; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
dl { margin: 0; } dt { font-weight: 600; } dd { margin: 0 0 .5rem; } dd:last-child { margin-bottom: 0; }
`;
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** What is asked, why, and how to withdraw it: before anything is started. */
export function askPage(facts: {
  readonly address: string;
  readonly signIn: string;
  readonly provider: string;
  readonly protocols: readonly Protocol[];
  /** Of the consent there is; `new` when there was none. */
  readonly state: GrantState['type'] | 'new';
  readonly until: number;
  /** Where the form goes. */
  readonly url: string;
}): Response {
  const { address, signIn, provider, protocols, url } = facts;
  const rights = protocols.map((protocol) => `<li>${NAMES[protocol]}</li>`).join('');
  return page(
    200,
    `Sign in for ${address}`,
    `<p>${why(facts)}</p>
<p>The next page is ${html(provider)}’s own. Sign in there as <strong>${html(signIn)}</strong>${signIn === address ? '' : `, who may open ${html(address)}`}, and allow Postern to:</p>
<ul>${rights}</ul>
<form method="post" action="${html(url)}"><button>Continue to ${html(provider)}</button></form>
<p class="small">Did you not expect this? Then close this page and ask whoever runs your mail. Type your password on the
provider’s page only. You can withdraw the permission there at any time. This link is good until ${day(facts.until)}.</p>`,
  );
}

function why({ address, provider, state }: Parameters<typeof askPage>[0]): string {
  const what = `<strong>${html(address)}</strong> at ${html(provider)}`;
  switch (state) {
    case 'new':
      return `Postern lets mail programs and devices use the mailbox ${what}. It needs your permission for that, once.`;
    case 'active':
    case 'renewing':
      return `Postern connects your mail programs to ${what}. That works at the moment; signing in now renews your permission. Your programs, their passwords and your settings stay as they are.`;
    default:
      return `Postern connects your mail programs to ${what}. The permission it had has ended, so mail has stopped. Your programs, their passwords and your settings stay as they are.`;
  }
}

export function successPage(address: string, first: boolean): Response {
  const text = first
    ? `<p>The mailbox <strong>${html(address)}</strong> is connected. Whoever runs your mail can now set up your mail programs.</p>`
    : `<p>Mail for <strong>${html(address)}</strong> flows again. Nothing needs to be changed in your mail programs.</p>`;
  return page(
    200,
    'Thank you',
    `${text}\n<p class="small">The link you used is closed. You can close this page, too.</p>`,
    {
      mood: 'good',
    },
  );
}

/** @param link path to begin again */
export function failurePage(status: number, text: FailureText, link: string): Response {
  const { title, paragraphs, again, forOthers } = text;
  return page(
    status,
    title,
    [
      ...paragraphs.map((one) => `<p>${html(one)}</p>`),
      ...(again ? [`<p><a class="button" href="${html(link)}">Try again</a></p>`] : []),
      ...(forOthers ? [othersText(forOthers)] : []),
    ].join('\n'),
    { mood: 'bad' },
  );
}

function othersText({ audience, cause, steps, facts }: NonNullable<FailureText['forOthers']>): string {
  const rows = facts.map(([name, value]) => `<dt>${html(name)}</dt><dd><code>${html(value)}</code></dd>`).join('');
  const list = steps.map((step) => `<li>${html(stepText(step))}</li>`).join('');
  return `<section class="others"><h2>For ${html(audience)}</h2>
<p>${html(capital(cause))}.</p>
${list === '' ? '' : `<ol>${list}</ol>`}
<dl>${rows}</dl></section>`;
}

/** One thing to say. */
export function messagePage(status: number, title: string, text: string): Response {
  return page(status, title, `<p>${html(text)}</p>`);
}

/** On to the provider. */
export function redirectPage(location: string, cookie: string): Response {
  return page(303, 'Signing in', '', { headers: { location, 'set-cookie': cookie } });
}

/** @param body HTML, escaped by the caller */
function page(
  status: number,
  title: string,
  body: string,
  { headers = {}, mood }: { readonly headers?: Readonly<Record<string, string>>; readonly mood?: 'good' | 'bad' } = {},
): Response {
  const text = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${html(title)} – Postern</title>
<style>${STYLE}</style>
</head>
<body>
<main${mood === undefined ? '' : ` class="${mood}"`}>
<p class="brand">Postern · mail for your programs</p>
<h1>${html(title)}</h1>
${body}
</main>
</body>
</html>
`;
  return new Response(text, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      // The form's answer is a redirect to the provider and its sign-in pages, which browsers hold against form-action too.
      'content-security-policy': `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'`,
      ...headers,
    },
  });
}

const day = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function html(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
