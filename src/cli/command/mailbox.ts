/** `postern mailbox`: addresses and the consent behind them. */
import { shellWord } from '../../base/shell.ts';
import { exitCodeOfKind } from '../exit-code.ts';
import { asError } from '../../base/error.ts';
import { listMailboxes } from '../../admin/mailboxes.ts';
import { MAX_LISTED } from '../../admin/schema.ts';
import { mailboxHealth } from '../../oauth/health.ts';
import { surveyGrants } from '../../oauth/survey.ts';
import { heldOf, heldText, releaseCommand } from '../../outbox/held.ts';
import { isCatchAll, rowOf } from '../../store/table/mailboxes.ts';
import { PROTOCOLS, type Protocol } from '../../store/protocols.ts';
import { consent } from '../consent.ts';
import { when } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication, findMailbox, findOpened } from '../../admin/find.ts';
import { healthText, triedText } from '../health-text.ts';
import { describeTest, testProtocol } from '../mailbox-test.ts';
import { Subcommand } from '../subcommand.ts';
import { protocols, way } from '../value.ts';
import { add, type AddOptions, FLOW } from './mailbox-add.ts';
import { mailboxFacts, sendingText } from './mailbox-facts.ts';
import { printLink } from './mailbox-link.ts';
import { remove } from './mailbox-remove.ts';
import { set } from './mailbox-set.ts';
import { resume, suspend } from './mailbox-suspension.ts';

export function mailbox(): Subcommand {
  return new Subcommand('mailbox', 'mailboxes: consent, list, test, remove')
    .example('postern mailbox add alice@example.com')
    .addCommands(add(), list(), show(), set(), test(), reconsent(), suspend(), resume(), remove());
}

function list(): Subcommand {
  return new Subcommand('list', 'mailboxes, the state of their grants, and what came of the last try to open them')
    .remark(`GRANT is about consent and tokens. LAST TRY is what postern check or postern mailbox test found last, with its time; sign-ins of mail programs are
in postern events.`)
    .example('postern mailbox list --json')
    .run(async (context) => {
      const { rows } = await context.act(listMailboxes, { limit: MAX_LISTED });
      context.list(
        rows,
        ({ mailbox, surveyed }) => ({
          ...mailboxFacts(mailbox),
          health: mailboxHealth(mailbox, surveyed?.health) ?? null,
          state: surveyed?.grant.state ?? null,
        }),
        {
          MAILBOX: ({ mailbox }) => mailbox.address,
          ACCESS: ({ mailbox }) => mailbox.access,
          PROTOCOLS: ({ mailbox }) => mailbox.protocols.join(','),
          'MAIL LEAVES': ({ mailbox }) =>
            heldOf(mailbox) ? 'not: held' : mailbox.settings.outgoing === 'outbox' ? 'by the outbox' : 'directly',
          GRANT: ({ mailbox, surveyed }) => healthText(mailboxHealth(mailbox, surveyed?.health)),
          'LAST TRY': ({ mailbox }) => (isCatchAll(mailbox.address) ? '-' : triedText(mailbox)),
        },
        'no mailbox yet; postern mailbox add --help',
      );
      if (
        rows.some(({ mailbox: { access, address, tried } }) => access === 'app-only' && !isCatchAll(address) && !tried)
      )
        context.say(
          'GRANT is about consent and tokens; whether a mailbox opens, only a sign-in tells: postern mailbox test ADDRESS',
        );
    });
}

function show(): Subcommand {
  return new Subcommand('show', 'one mailbox: grant, scopes, servers')
    .example('postern mailbox show alice@example.com')
    .argument('<address>')
    .runWithInstance(async (context, instance, address: string) => {
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
          health: health ?? null,
          grant:
            grant === undefined
              ? null
              : {
                  id: grant.id,
                  flow: grant.flow,
                  identity: grant.identity,
                  scopes: grant.scopes,
                  state: grant.state,
                  renewedAt: grant.renewal?.renewedAt ?? null,
                  renewAt: grant.renewAt ?? null,
                },
          servers: servers.map(({ protocol, host, port, tls, user }) => ({ protocol, host, port, tls, user })),
        },
        [
          `address    ${found.address} (${found.access})`,
          `grant      ${grant?.flow ?? '-'} as ${grant?.identity ?? '-'}`,
          `health     ${healthText(health)}`,
          ...(health === undefined || health.type === 'healthy' ? [] : [`next       ${health.remedy}`]),
          ...(isCatchAll(rowOf(found)) ? [] : [`last try   ${triedText(found)}`]),
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
}

function test(): Subcommand {
  return new Subcommand('test', 'sign in on each protocol and say what works, and why the rest does not')
    .argument('<address>')
    .option('--protocols <list>', 'only these', protocols)
    .remark('The exit code is 0 when everything that was consented to works, otherwise that of the first failure.')
    .example('postern mailbox test alice@example.com')
    .runWithInstance(async (context, instance, address: string, options: { protocols?: readonly Protocol[] }) => {
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
}

function reconsent(): Subcommand {
  return new Subcommand('reconsent', 'consent again; mailbox, app passwords and settings stay as they are')
    .example(
      'postern mailbox reconsent alice@example.com --protocols imap,pop3,smtp',
      'postern mailbox reconsent alice@example.com --link',
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
    .runWithInstance(async (context, instance, address: string, options: ReconsentOptions) => {
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
}

type ReconsentOptions = Omit<AddOptions, 'flow'> & { readonly flow?: string; readonly link?: true };
