/** What the owner of a mailbox sees when a link brings them here. */
import type { Mailbox } from '../store/types.ts';

const NAMES = { imap: 'read and organise mail (IMAP)', pop3: 'fetch mail (POP3)', smtp: 'send mail (SMTP)' } as const;

/** What is asked, why, and how to withdraw it: before anything is started. */
export function askPage(facts: {
  readonly address: string;
  readonly signIn: string;
  readonly provider: string;
  readonly mailbox: Pick<Mailbox, 'protocols'>;
  /** Where the form goes. */
  readonly url: string;
}): Response {
  const { address, signIn, provider, mailbox, url } = facts;
  const rights = mailbox.protocols.map((protocol) => `<li>${NAMES[protocol]}</li>`).join('');
  return page(
    200,
    `Sign in for ${address}`,
    `<p>Postern connects your mail programs to <b>${html(address)}</b> at ${html(provider)}. The permission it had has ended, so
mail has stopped. Your programs, their passwords and your settings stay as they are.</p>
<p>You go to ${html(provider)}’s own page now. Sign in as <b>${html(signIn)}</b> and allow Postern to:</p>
<ul>${rights}</ul>
<form method="post" action="${html(url)}"><button>Continue to ${html(provider)}</button></form>
<p class="small">Did you not expect this? Then close this page, and ask whoever runs your mail. Type your password on the
provider’s page only. You can withdraw the permission there at any time.</p>`,
  );
}

export function successPage(address: string): Response {
  return page(
    200,
    'Thank you',
    `<p>Mail for <b>${html(address)}</b> flows again. Nothing needs to be changed in your mail programs. You can close this page.</p>`,
  );
}

export function failurePage(status: number, title: string, text: string): Response {
  return page(status, title, `<p>${html(text)}</p>`);
}

/** @param body HTML, escaped by the caller */
export function page(
  status: number,
  title: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const text = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${html(title)} – Postern</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto 2rem; padding: 0 1.5rem; color-scheme: light dark }
  h1 { font-size: 1.6rem; overflow-wrap: anywhere }
  button { font: inherit; padding: .6rem 1.2rem }
  .small { font-size: .9rem }
</style>
<h1>${html(title)}</h1>
${body}
</html>
`;
  return new Response(text, {
    status,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      // The form's answer is a redirect to the provider, which browsers hold against form-action too.
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'",
      ...headers,
    },
  });
}

function html(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}
