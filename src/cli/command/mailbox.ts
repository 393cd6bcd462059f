/** `postern mailbox`: addresses and the consent behind them. */
import { shellWord } from '../../base/shell.ts';
import { exitCodeOfKind } from '../exit-code.ts';
import { Command } from 'commander';
import { asError } from '../../base/error.ts';
import { listMailboxes } from '../../admin/mailboxes.ts';
import { MAX_LISTED } from '../../admin/schema.ts';
import { mailboxHealth } from '../../oauth/health.ts';
import { surveyGrants } from '../../oauth/survey.ts';
import { heldOf, heldText, releaseCommand } from '../../outbox/held.ts';
import { isCatchAll } from '../../store/table/mailboxes.ts';
import { PROTOCOLS, type Protocol } from '../../store/protocols.ts';
import { consent } from '../consent.ts';
import { withIsoTimes } from '../iso-times.ts';
import { Context, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication, findMailbox, findOpened } from '../../admin/find.ts';
import { healthFacts, healthText } from '../health-text.ts';
import { describeTest, testProtocol } from '../mailbox-test.ts';
import { protocols, way } from '../value.ts';
import { add, type AddOptions, FLOW } from './mailbox-add.ts';
import { mailboxFacts, sendingText } from './mailbox-facts.ts';
import { printLink } from './mailbox-link.ts';
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

function list(): Command {
  return new Command('list')
    .description('mailboxes and the state of their grants')
    .addHelpText('after', '\nExample:\n  $ postern mailbox list --json\n')
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      context.list(
        (await context.act(listMailboxes, { limit: MAX_LISTED })).rows,
        ({ mailbox, surveyed }) => ({
          ...mailboxFacts(mailbox),
          health: healthFacts(mailboxHealth(mailbox, surveyed?.health)),
          state: withIsoTimes(surveyed?.grant.state ?? null),
        }),
        {
          MAILBOX: ({ mailbox }) => mailbox.address,
          ACCESS: ({ mailbox }) => mailbox.access,
          PROTOCOLS: ({ mailbox }) => mailbox.protocols.join(','),
          'MAIL LEAVES': ({ mailbox }) =>
            heldOf(mailbox) ? 'not: held' : mailbox.settings.outgoing === 'outbox' ? 'by the outbox' : 'directly',
          STATE: ({ mailbox, surveyed }) => healthText(mailboxHealth(mailbox, surveyed?.health)),
        },
        'no mailbox yet; postern mailbox add --help',
      );
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
        const held = heldOf(found);
        // A protocol without a server is told with the others, not instead of them.
        const places = await Promise.all(
          found.protocols.map((protocol) =>
            instance.tokens.endpoint(found, protocol).catch((error: unknown) => ({ protocol, error: asError(error) })),
          ),
        );
        const servers = places.filter((place) => 'host' in place);
        const missing = places.filter((place) => 'error' in place);
        context.result(
          {
            ...mailboxFacts(found),
            health: healthFacts(health),
            grant:
              grant === undefined
                ? null
                : {
                    id: grant.id,
                    flow: grant.flow,
                    identity: grant.identity,
                    scopes: grant.scopes,
                    state: withIsoTimes(grant.state),
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
            `mail       leaves ${sendingText(found)}`,
            ...(held ? [`held       ${heldText(held)}`, `next       ${releaseCommand(held)}`] : []),
            `renewed    ${when(grant?.renewal?.renewedAt)}, next ${when(grant?.renewAt, 'not by itself')}`,
            `scopes     ${grant?.scopes.join(' ') ?? '-'}`,
            ...servers.map(
              ({ protocol, host, port, tls, user }) => `${protocol.padEnd(10)} ${host}:${port} ${tls}, as ${user}`,
            ),
            ...missing.map(({ protocol, error }) => `${protocol.padEnd(10)} ${error.message}; ${error.hint}`),
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
        if (isCatchAll(found.address))
          throw cliError('cli.usage', `${found.address} stands for every address of its domain; name one of them`, {
            hint: `postern mailbox test ${shellWord(`SOMEBODY${found.address.slice(1)}`)}`,
          });
        const tests = await Promise.all(
          (options.protocols ?? PROTOCOLS).map((protocol) => testProtocol(instance, found, protocol)),
        );
        context.result(
          {
            address: found.address,
            protocols: tests,
          },
          tests.flatMap((one) => describeTest(one, found)),
        );
        const failed = tests.find((one) => one.outcome === 'fails');
        if (failed) process.exitCode = exitCodeOfKind(failed.failed.error!.kind, failed.failed.diagnosis?.passesWhen);
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
    .option('--application <name>', 'through another application from now on (default: as before)')
    .option('--protocols <list>', 'protocols to open from now on (default: as before)', protocols)
    .option('--shared-with <address>', 'the mailbox is shared, and this delegate signs in (default: as before)')
    .option('--flow <way>', FLOW, way)
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
        const application = await findApplication(instance.store, options.application ?? grant.applicationId);
        const made = await consent(context, instance, {
          application,
          address: found.address,
          protocols: options.protocols ?? found.protocols,
          way: options.flow ?? (grant.flow === 'authorization-code' ? 'browser' : grant.flow),
          sharedWith: options.sharedWith ?? (found.access === 'shared' ? grant.identity : undefined),
          redirectUri: options.redirectUri,
        });
        context.result(mailboxFacts(made), [`${made.address} is open again for ${made.protocols.join(', ')}`]);
      });
    });
}

type ReconsentOptions = Omit<AddOptions, 'flow'> & { readonly flow?: string; readonly link?: true };

function iso(at: number | undefined): string | null {
  return at === undefined ? null : new Date(at).toISOString();
}
