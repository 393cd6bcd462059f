/** `postern mailbox`: addresses and the consent behind them. */
import { Command } from 'commander';
import { asError } from '../../base/error.ts';
import { replies } from '../../base/replies.ts';
import { mailboxHealth } from '../../oauth/health.ts';
import { consentLink, consoleAddress } from '../../server/consent-link.ts';
import type { Instance } from '../../server/instance.ts';
import { surveyGrants } from '../../server/survey.ts';
import { PROTOCOLS, type Mailbox, type Protocol } from '../../store/types.ts';
import { consent } from '../consent.ts';
import { Context, table, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication, findMailbox, findOpened } from '../find.ts';
import { healthFacts, healthText } from '../health-text.ts';
import { describeTest, testProtocol } from '../mailbox-test.ts';
import { protocols } from '../value.ts';
import { remove } from './mailbox-remove.ts';
import { set } from './mailbox-set.ts';
import { resume, suspend } from './mailbox-suspension.ts';

export function mailbox(): Command {
  return new Command('mailbox')
    .description('mailboxes: consent, list, test, remove')
    .addHelpText('after', '\nExample:\n  $ postern mailbox add alice@example.com\n')
    .addCommand(add())
    .addCommand(list())
    .addCommand(show())
    .addCommand(set())
    .addCommand(test())
    .addCommand(reconsent())
    .addCommand(suspend())
    .addCommand(resume())
    .addCommand(remove());
}

const FLOW =
  'browser (default), paste (no browser here), device (code on another device), app-only (the application’s own credential)';

interface AddOptions {
  readonly provider?: string;
  readonly protocols?: readonly Protocol[];
  readonly flow: string;
  readonly sharedWith?: string;
  readonly redirectUri?: string;
}

function add(): Command {
  return new Command('add')
    .description('open a mailbox by consent')
    .argument('<address>')
    .option('--provider <name>', 'application to use (default: the only one)')
    .option('--protocols <list>', 'imap, pop3, smtp: only what is named is asked for (default: imap,smtp)', protocols)
    .option('--flow <way>', FLOW, 'browser')
    .option('--shared-with <address>', 'the mailbox is shared, and this delegate signs in')
    .option('--redirect-uri <uri>', 'with --flow paste: the redirect URI registered for the application')
    .addHelpText(
      'after',
      "\nExample:\n  $ postern mailbox add alice@example.com --provider work --protocols imap,smtp\n  $ postern mailbox add sales@example.com --shared-with alice@example.com\n  $ postern mailbox add robot@example.com --provider robot --flow app-only\n  $ postern mailbox add '*@example.com' --provider robot --flow app-only\n",
    )
    .action(async (address: string, options: AddOptions, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const application = await findApplication(instance.store, options.provider ?? (await onlyProvider(instance)));
        if (await instance.store.mailboxes.find(address.toLowerCase())) {
          throw cliError('cli.usage', `${address} is here already`, {
            hint: `to consent again, or to more protocols: postern mailbox reconsent ${address}`,
          });
        }
        const made = await consent(context, instance, {
          application,
          address,
          protocols: options.protocols ?? ['imap', 'smtp'],
          way: options.flow,
          ...(options.sharedWith === undefined ? {} : { sharedWith: options.sharedWith }),
          ...(options.redirectUri === undefined ? {} : { redirectUri: options.redirectUri }),
        });
        await instance.audit.record({
          type: 'mailbox.added',
          outcome: 'ok',
          mailbox: made.address,
          data: { access: made.access, protocols: made.protocols },
        });
        context.result(facts(made), [`${made.address} is open for ${made.protocols.join(', ')}`]);
        context.say(
          made.address.startsWith('*@')
            ? `next: postern mailbox test SOMEBODY${made.address.slice(1)}, then postern password add --mailbox '${made.address}' --label PROGRAM`
            : `next: postern mailbox test ${made.address}, then postern password add --mailbox ${made.address} --label PROGRAM`,
        );
      });
    });
}

async function onlyProvider({ store }: Instance): Promise<string> {
  const all = await store.applications.list();
  if (all.length === 1) return all[0]!.name;
  throw cliError('cli.usage', all.length === 0 ? 'no provider is set up' : 'several providers are set up', {
    hint:
      all.length === 0
        ? 'postern provider add --help'
        : `say which with --provider: ${all.map(({ name }) => name).join(', ')}`,
  });
}

function list(): Command {
  return new Command('list')
    .description('mailboxes and the state of their grants')
    .addHelpText('after', '\nExample:\n  $ postern mailbox list --json\n')
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store, clock }) => {
        const { grants, mailboxes: all } = await surveyGrants(store, clock.now());
        context.result(
          all.map((one) => {
            const found = grants.get(one.grantId);
            return {
              ...facts(one),
              health: healthFacts(mailboxHealth(one, found?.health)),
              state: found?.grant.state ?? null,
            };
          }),
          all.length === 0
            ? []
            : table(
                ['MAILBOX', 'ACCESS', 'PROTOCOLS', 'STATE'],
                all.map((one) => [
                  one.address,
                  one.access,
                  one.protocols.join(','),
                  healthText(mailboxHealth(one, grants.get(one.grantId)?.health)),
                ]),
              ),
        );
        if (all.length === 0) context.say('no mailbox yet; postern mailbox add --help');
      });
    });
}

function show(): Command {
  return new Command('show')
    .description('one mailbox: grant, scopes, servers')
    .addHelpText('after', '\nExample:\n  $ postern mailbox show alice@example.com\n')
    .argument('<address>')
    .action(async (address: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const found = await findOpened(instance, address);
        const now = instance.clock.now();
        const surveyed = (await surveyGrants(instance.store, now)).grants.get(found.grantId);
        const grant = surveyed?.grant;
        const health = mailboxHealth(found, surveyed?.health);
        const servers = await Promise.all(found.protocols.map((protocol) => instance.tokens.endpoint(found, protocol)));
        context.result(
          {
            ...facts(found),
            health: healthFacts(health),
            grant:
              grant === undefined
                ? null
                : {
                    id: grant.id,
                    flow: grant.flow,
                    identity: grant.identity,
                    scopes: grant.scopes,
                    state: grant.state,
                    renewedAt: iso(grant.renewal?.renewedAt),
                    renewAt: iso(grant.renewAt),
                  },
            servers: servers.map(({ protocol, host, port, tls, user }) => ({ protocol, host, port, tls, user })),
          },
          [
            `address    ${found.address} (${found.access})`,
            `grant      ${grant?.flow ?? '-'} as ${grant?.identity ?? '-'}`,
            `health     ${healthText(health)}`,
            ...(health === undefined || health.type === 'healthy' ? [] : [`next       ${health.remedy}`]),
            `renewed    ${when(grant?.renewal?.renewedAt)}, next ${when(grant?.renewAt, 'not by itself')}`,
            `scopes     ${grant?.scopes.join(' ') ?? '-'}`,
            ...servers.map(
              ({ protocol, host, port, tls, user }) => `${protocol.padEnd(10)} ${host}:${port} ${tls}, as ${user}`,
            ),
            `added      ${when(found.createdAt)}`,
          ],
        );
      });
    });
}

function test(): Command {
  return new Command('test')
    .description('sign in on each protocol and say what works, and why the rest does not')
    .argument('<address>')
    .option('--protocols <list>', 'only these', protocols)
    .addHelpText(
      'after',
      '\nThe exit code is 0 when everything that was consented to works, otherwise that of the first failure.\n\nExample:\n  $ postern mailbox test alice@example.com\n',
    )
    .action(async (address: string, options: { protocols?: readonly Protocol[] }, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const found = await findOpened(instance, address);
        if (found.address.startsWith('*@'))
          throw cliError('cli.usage', `${found.address} stands for every address of its domain; name one of them`, {
            hint: `postern mailbox test SOMEBODY${found.address.slice(1)}`,
          });
        const tests = await Promise.all(
          (options.protocols ?? PROTOCOLS).map((protocol) => testProtocol(instance, found, protocol)),
        );
        context.result(
          {
            address: found.address,
            protocols: tests,
          },
          tests.flatMap((one) => describeTest(one, found.address)),
        );
        const failed = tests.find((one) => one.outcome === 'fails');
        if (failed) process.exitCode = replies[failed.failed.error!.kind].exit;
      });
    });
}

function reconsent(): Command {
  return new Command('reconsent')
    .description('consent again; mailbox, app passwords and settings stay as they are')
    .addHelpText(
      'after',
      '\nExample:\n  $ postern mailbox reconsent alice@example.com --protocols imap,pop3,smtp\n  $ postern mailbox reconsent alice@example.com --link\n',
    )
    .argument('<address>')
    .option('--protocols <list>', 'protocols to open from now on (default: as before)', protocols)
    .option('--flow <way>', FLOW)
    .option('--redirect-uri <uri>', 'with --flow paste: the redirect URI registered for the application')
    .option(
      '--link',
      'print a link for its owner, good for a week, instead of signing in here; postern serve answers it',
    )
    .action(async (address: string, options: ReconsentOptions, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async (instance) => {
        const found = await findMailbox(instance, address);
        if (options.link) return printLink(context, instance, found);
        const grant = await instance.store.grants.find(found.grantId);
        if (!grant) throw asError(new Error(`the grant of ${found.address} is gone`));
        const application = await findApplication(instance.store, grant.applicationId);
        const made = await consent(context, instance, {
          application,
          address: found.address,
          protocols: options.protocols ?? found.protocols,
          way: options.flow ?? (grant.flow === 'authorization-code' ? 'browser' : grant.flow),
          ...(found.access === 'shared' ? { sharedWith: grant.identity } : {}),
          ...(options.redirectUri === undefined ? {} : { redirectUri: options.redirectUri }),
        });
        context.result(facts(made), [`${made.address} is open again for ${made.protocols.join(', ')}`]);
      });
    });
}

type ReconsentOptions = Omit<AddOptions, 'flow'> & { readonly flow?: string; readonly link?: true };

async function printLink(context: Context, instance: Instance, { address }: Mailbox): Promise<void> {
  const base = consoleAddress(instance.config);
  if (new URL(base).port === '0') {
    throw cliError('cli.usage', 'the console takes a different port at each start, so no link to it lasts', {
      hint: 'set console.port in postern.yaml',
    });
  }
  const link = await consentLink(instance, base, address);
  if (link === undefined) {
    throw cliError('cli.usage', `${address} is opened by the application itself; nobody has to sign in for it`, {
      hint: 'look at its credential: postern provider list',
    });
  }
  context.result({ address, link }, [link]);
  if (base.startsWith('http:')) {
    context.say('it works in a browser on this machine only; with console.publicUrl it works from anywhere');
  }
}

function iso(at: number | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString();
}

function facts({ address, access, protocols, grantId, createdAt }: Mailbox): Record<string, unknown> {
  return { address, access, protocols, grantId, createdAt: new Date(createdAt).toISOString() };
}
