/** `postern mailbox add`: a mailbox by consent, here or by a link for its owner. */
import { openersOf } from '../../access/withdraw.ts';
import { shellWord } from '../../base/shell.ts';
import { presetOfDomain } from '../../onboard/discover/known.ts';
import { presetById } from '../../oauth/providers.ts';
import { LINK_MS } from '../../onboard/consent-link.ts';
import { inviteOwner } from '../../admin/mailboxes.ts';
import type { Instance } from '../../server/instance.ts';
import { isCatchAll } from '../../store/table/mailboxes.ts';
import type { Application, Mailbox } from '../../store/types.ts';
import type { Protocol } from '../../store/protocols.ts';
import { consent, usualProtocols } from '../consent.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication } from '../../admin/find.ts';
import { describeTest, type ProtocolTest, testProtocol } from '../mailbox-test.ts';
import { Subcommand } from '../subcommand.ts';
import { mailAddress, protocols, way } from '../value.ts';
import { linkBase, sayReach } from './mailbox-link.ts';
import { mailboxFacts } from './mailbox-facts.ts';

const OTHERS = 'paste (no browser here), device (code on another device), app-only (the application’s own credential)';
export const FLOW = `browser (default), ${OTHERS}`;

export interface AddOptions {
  readonly application?: string;
  readonly protocols?: readonly Protocol[];
  readonly flow: string;
  readonly sharedWith?: string;
  readonly redirectUri?: string;
  readonly link?: true;
}

export function add(): Subcommand {
  return new Subcommand('add', 'open a mailbox by consent')
    .argument('<address>')
    .option('--application <name>', 'application to use (default: the only one)')
    .option('--protocols <list>', 'imap, pop3, smtp: only what is named is asked for (default: imap,smtp)', protocols)
    .option('--flow <way>', `browser, ${OTHERS}`, way, 'browser')
    .option('--shared-with <address>', 'the mailbox is shared, and this delegate signs in')
    .option('--redirect-uri <uri>', 'with --flow paste: the redirect URI registered for the application')
    .option(
      '--link',
      'print a link for its owner, good for a week, instead of signing in here; postern serve answers it',
    )
    .example(
      'postern mailbox add alice@example.com --application work --protocols imap,smtp',
      'postern mailbox add alice@example.com --link',
      'postern mailbox add sales@example.com --shared-with alice@example.com',
      'postern mailbox add robot@example.com --application robot --flow app-only',
      'postern mailbox add "*@example.com" --application robot --flow app-only',
    )
    .remark(
      'With --flow app-only nobody signs in, so the mailbox is tried at once; what does not work is said, and the mailbox stays.',
    )
    .runWithInstance(async (context, instance, address: string, options: AddOptions) => {
      const application = await findApplication(
        instance.store,
        options.application ?? (await onlyProvider(instance, address)),
      );
      const known = await instance.store.mailboxes.find(address.toLowerCase());
      if (known) {
        const wanted = [...new Set([...known.protocols, ...(options.protocols ?? [])])];
        const more = wanted.length > known.protocols.length;
        const again = [
          'postern',
          'mailbox',
          'reconsent',
          address,
          ...(more ? ['--protocols', wanted.join(',')] : []),
          ...(options.sharedWith === undefined ? [] : ['--shared-with', options.sharedWith]),
        ];
        throw cliError('cli.usage', `${address} is here already, for ${known.protocols.join(', ')}`, {
          hint: `to consent again${more ? ', for more protocols' : ''}: ${again.map(shellWord).join(' ')}`,
        });
      }
      if (options.link) return printInvitation(context, instance, application, address, options);
      const made = await consent(context, instance, {
        application,
        address,
        protocols: options.protocols ?? usualProtocols(application),
        way: options.flow,
        sharedWith: options.sharedWith,
        redirectUri: options.redirectUri,
      });
      const openers = await openersOf(instance, made.address);
      const one = isCatchAll(made.address) ? `SOMEBODY${made.address.slice(1)}` : made.address;
      // Nobody signed in: the application's own token says nothing of this mailbox, so it is tried.
      const tests = made.access === 'app-only' && one === made.address ? await tryOut(instance, made) : undefined;
      const fails = tests?.some(({ outcome }) => outcome === 'fails') === true;
      const untried = made.access === 'app-only' && tests === undefined;
      context.result({ ...mailboxFacts(made), ...(tests ? { tests } : {}) }, [
        `${made.address} is ${fails || untried ? 'set up' : 'open'} for ${made.protocols.join(', ')}`,
        ...(fails ? tests.flatMap((test) => describeTest(test, made)) : []),
      ]);
      const more = openers.length - MAX_NAMED;
      if (openers.length > 0)
        context.say(
          `these name it already, and open it at once: ${openers.slice(0, MAX_NAMED).join(', ')}${more > 0 ? `, and ${more} more: postern password list` : ''}`,
        );
      context.say(
        `next: postern mailbox test ${shellWord(one)}, then postern password add --mailbox ${shellWord(made.address)} --label PROGRAM`,
      );
    });
}

const tryOut = (instance: Instance, made: Mailbox): Promise<readonly ProtocolTest[]> =>
  Promise.all(made.protocols.map((protocol) => testProtocol(instance, made, protocol)));

/** App passwords that are named in one line. */
const MAX_NAMED = 5;

/** Not one that certainly opens nothing there: some domains are known to be at one provider. */
async function onlyProvider({ store }: Instance, address: string): Promise<string> {
  const all = await store.applications.list();
  const at = presetOfDomain(address.slice(address.lastIndexOf('@') + 1));
  const [only] = all;
  if (only && all.length === 1) {
    // An application of a preset for everything (oidc) may be a fitting one all the same.
    if (at === undefined || at === only.provider || only.provider === 'oidc') return only.name;
    throw cliError(
      'cli.usage',
      `${address} is at ${presetById(at)?.name ?? at}, and ${only.name} is an application at ${presetById(only.provider)?.name ?? only.provider}`,
      {
        hint: `set one up for it: postern init --address ${shellWord(address)}; or --application ${shellWord(only.name)} if you know better`,
      },
    );
  }
  throw cliError('cli.usage', all.length === 0 ? 'no application is set up' : 'several applications are set up', {
    hint:
      all.length === 0
        ? 'postern application add --help'
        : `say which with --application: ${all.map(({ name }) => name).join(', ')}`,
  });
}

async function printInvitation(
  context: Context,
  instance: Instance,
  application: Application,
  address: string,
  { protocols: asked = usualProtocols(application), flow, sharedWith }: AddOptions,
): Promise<void> {
  if (flow !== 'browser')
    throw cliError('cli.usage', `--link is a sign-in in the owner’s browser, not ${flow}`, {
      hint: 'leave --flow out',
    });
  const base = linkBase(instance);
  const normal = mailAddress(address);
  const link = await context.perform(instance, inviteOwner, {
    address: normal,
    applicationId: application.id,
    protocols: asked,
    sharedWith: sharedWith === undefined ? undefined : mailAddress(sharedWith),
    base,
  });
  const until = instance.clock.now() + LINK_MS;
  context.result({ address: normal, application: application.name, protocols: asked, link, until }, [link]);
  context.say(
    `send it to ${sharedWith ?? normal}; it is good for a week, and closed once the mailbox is connected. A newer one for ${normal} ends it`,
  );
  sayReach(context, instance, base);
}
