/** The person's part of a consent: a browser here, a browser elsewhere, or a code typed in on another device. */
import { shellWord } from '../base/shell.ts';
import { connectMailbox } from '../admin/mailboxes.ts';
import { isError, PosternError } from '../base/error.ts';
import type { Redirect } from '../onboard/connect-mailbox.ts';
import type { ConnectRequest } from '../onboard/connect-request.ts';
import { type ClientCredential, openCredential } from '../oauth/application.ts';
import { readFlow } from '../oauth/flows.ts';
import { noServer } from '../oauth/mail-endpoint.ts';
import { resolveProvider } from '../oauth/provider.ts';
import type { Instance } from '../server/instance.ts';
import type { Application, Flow, Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { askLine } from './ask.ts';
import type { Context } from './context.ts';
import { cliError } from './errors.ts';
import { onInterrupt } from './interrupt.ts';

export interface ConsentRequest extends Pick<ConnectRequest, 'application' | 'address' | 'protocols' | 'sharedWith'> {
  /** `browser`, `paste`, `device`, `app-only`, or a flow's full name. */
  readonly way: string;
  /** Registered for `paste`; nothing listens there. */
  readonly redirectUri?: string | undefined;
}

/** Runs the consent and says what the person has to do. @throws oauth.*, cli.* */
export async function consent(context: Context, instance: Instance, request: ConsentRequest): Promise<Mailbox> {
  requireServers(request);
  const flow = await flowOf(instance, request);
  using stop = onInterrupt(() =>
    cliError('cli.usage', 'stopped before the consent was given', { hint: 'nothing was changed' }),
  );
  const redirect = flow === 'authorization-code' ? await redirectFor(context, request) : undefined;
  try {
    const base: ConnectRequest = {
      application: request.application,
      address: request.address,
      protocols: request.protocols,
      flow,
      sharedWith: request.sharedWith,
      redirect,
      device: ({ message, userCode, verificationUri }) => {
        context.ask(message === '' ? `open ${verificationUri} and enter ${userCode}` : message);
        context.ask('enter the code only on that page, and only if you started this yourself');
        context.ask('waiting until you have signed in…');
      },
      signal: stop.signal,
    };
    return (await context.perform(instance, connectMailbox, base)).mailbox;
  } catch (error) {
    throw (await isFirst(instance, request)) ? forFirstConsent(error, request) : error;
  } finally {
    await redirect?.close();
  }
}

/** Nobody consents to what no program could use. @throws cli.usage */
function requireServers({ application, protocols }: ConsentRequest): void {
  const profile = resolveProvider(application);
  const missing = protocols.find((protocol) => !profile.mail[protocol]);
  if (missing === undefined) return;
  throw cliError('cli.usage', noServer(profile, missing), {
    hint: `name it: postern application set ${shellWord(application.name)} --${shellWord(missing)} HOST:PORT/implicit; or leave ${missing} out of --protocols`,
  });
}

/** What is opened where nobody said: reading and sending, as far as there are servers for it. @throws oauth.misconfigured */
export function usualProtocols(application: Application): readonly Protocol[] {
  const { mail } = resolveProvider(application);
  const usual = (['imap', 'smtp'] as const).filter((protocol) => mail[protocol]);
  return usual.length === 0 ? ['imap', 'smtp'] : usual;
}

async function isFirst({ store }: Instance, { address }: ConsentRequest): Promise<boolean> {
  return (await store.mailboxes.find(address.trim().toLowerCase())) === undefined;
}

/** Where there is no mailbox yet, there is nothing to consent to again: it is opened. */
function forFirstConsent(thrown: unknown, { address, application, way }: ConsentRequest): unknown {
  if (!isError(thrown)) return thrown;
  const { code, kind, message, detail, retryAt, cause } = thrown;
  const add = `postern mailbox add ${shellWord(address)} --application ${shellWord(application.name)}${way === 'browser' ? '' : ` --flow ${shellWord(way)}`}`;
  const hint = /postern mailbox reconsent \S+/.test(thrown.hint)
    ? thrown.hint.replace(/postern mailbox reconsent \S+(?: --flow \S+)?/g, () => add)
    : code === 'oauth.consent-declined' || code === 'oauth.consent-expired'
      ? `${thrown.hint}: ${add}`
      : thrown.hint;
  return new PosternError(code, { kind, hint }, message, { detail, cause, ...(retryAt ? { retryAt } : {}) });
}

async function flowOf({ vault }: Instance, { way, application }: ConsentRequest): Promise<Flow> {
  if (way === 'browser' || way === 'paste') return 'authorization-code';
  if (way === 'device') return 'device-code';
  if (way !== 'app-only') return readFlow(way);
  const credential = await openCredential(vault, application);
  if (credential) return flowOfCredential(credential);
  throw cliError('cli.usage', `${application.name} has no credential, so it cannot sign in by itself`, {
    hint: `add one: postern application credential add ${shellWord(application.name)} with --client-secret-file, --certificate, --assertion-file, --managed-identity or --service-account-file`,
  });
}

/** How an application signs in by itself. */
export const flowOfCredential = ({ type }: ClientCredential): Flow => (type === 'secret' ? 'client-secret' : type);

async function redirectFor(context: Context, { way, redirectUri }: ConsentRequest): Promise<Redirect> {
  if (way === 'paste') {
    const { pasteBack } = await import('../onboard/paste-back.ts');
    return pasteBack({
      redirectUri: redirectUri ?? 'http://localhost/',
      async ask(url) {
        context.ask('open this in a browser on any machine and sign in:');
        process.stderr.write(`\n${url}\n\n`);
        context.ask('the browser then ends at an address that does not load; copy that address');
        return askLine('paste it here: ');
      },
      again: ({ message, hint }) => context.ask(`${message}; ${hint}`),
    });
  }
  const { listenForRedirect } = await import('../onboard/loopback.ts');
  return listenForRedirect({
    async open(url) {
      context.ask('sign in with the browser window that opens now; if none does, open this on this machine:');
      process.stderr.write(`\n${url}\n\n`);
      context.ask('no browser on this machine? stop with Ctrl-C and add --flow paste');
      await openBrowser(url);
    },
  });
}

/** Without a desktop there is nothing to open, and the address was printed. */
async function openBrowser(url: string): Promise<void> {
  if (process.env['POSTERN_NO_BROWSER'] !== undefined) return;
  if (process.platform === 'linux' && !process.env['DISPLAY'] && !process.env['WAYLAND_DISPLAY']) return;
  const { default: open } = await import('open');
  const child = await open(url);
  child.on('error', () =>
    process.stderr.write('postern: the browser could not be started; open the address yourself\n'),
  );
}
