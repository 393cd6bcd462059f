/** `postern application credential`: several live credentials, so that one is replaced while mail flows. */
import { shellWord } from '../../base/shell.ts';
import { Command } from 'commander';
import { openCredentials } from '../../oauth/application.ts';
import { activateCredential, addCredential, removeCredential } from '../../admin/applications.ts';
import type { CredentialFacts } from '../../store/types.ts';
import { addCredentialOptions, type CredentialOptions, readCredential } from '../credential-options.ts';
import { Context, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication } from '../../admin/find.ts';

export function credential(): Command {
  return new Command('credential')
    .description('client secrets and certificates of an application, several side by side')
    .addHelpText('after', '\nExample:\n  $ postern application credential list work\n')
    .addCommand(add())
    .addCommand(list())
    .addCommand(activate())
    .addCommand(remove());
}

function add(): Command {
  return addCredentialOptions(
    new Command('add')
      .description('add a credential behind those in use; it is used as soon as the provider refuses them')
      .argument('<application>')
      .option('--activate', 'use it first from now on'),
  )
    .addHelpText(
      'after',
      '\nExample:\n  $ postern application credential add work --client-secret-file new.txt --secret-expires 2027-05-31\n',
    )
    .action(async (name: string, options: CredentialOptions & { activate?: true }, command: Command) => {
      const context = new Context(command);
      const given = await readCredential(options);
      if (!given) {
        throw cliError('cli.usage', 'no credential was given', {
          hint: 'give --client-secret-file, --certificate with --private-key, or --assertion-file',
        });
      }
      await context.withInstance(async (instance) => {
        const { application, added } = await context.perform(instance, addCredential, {
          name,
          credential: given,
          active: options.activate,
          secretExpiresAt: options.secretExpires,
        });
        context.result(factsOf(added), [`added ${added.id} (${added.type}, ends ${ends(added)})`]);
        if (options.activate !== true) {
          context.say(
            `it stands by; to use it first: postern application credential activate ${shellWord(application)} ${shellWord(added.id)}`,
          );
        }
      });
    });
}

function list(): Command {
  return new Command('list')
    .description('the credentials of an application, the one in use first')
    .argument('<application>')
    .addHelpText('after', '\nExample:\n  $ postern application credential list work\n')
    .action(async (name: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.withInstance(async ({ store, vault, clock }) => {
        const application = await findApplication(store, name);
        const all = (await openCredentials(vault, application)).map(({ facts }) => facts);
        context.list(
          all,
          (one) => ({ ...factsOf(one), active: one === all[0] }),
          {
            CREDENTIAL: ({ id }) => id,
            TYPE: ({ type }) => type,
            ADDED: ({ addedAt }) => when(addedAt),
            ENDS: (one) => countdown(one, clock.now()),
            USE: (one) => (one === all[0] ? 'first' : 'stands by'),
          },
          `${application.name} is a public client without a credential`,
        );
      });
    });
}

function activate(): Command {
  return new Command('activate')
    .description('use this credential first from now on')
    .argument('<application>')
    .argument('<credential>', 'its id, from postern application credential list')
    .addHelpText('after', '\nExample:\n  $ postern application credential activate work cred_…\n')
    .action(async (name: string, id: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.act(activateCredential, { name, id });
      context.result({ activated: id }, [`${id} is used first now`]);
    });
}

function remove(): Command {
  return new Command('remove')
    .description('forget a credential; the last one of an application in use stays')
    .argument('<application>')
    .argument('<credential>', 'its id, from postern application credential list')
    .addHelpText('after', '\nExample:\n  $ postern application credential remove work cred_…\n')
    .action(async (name: string, id: string, _options: object, command: Command) => {
      const context = new Context(command);
      await context.act(removeCredential, { name, id });
      context.result({ removed: id }, [`removed ${id}`]);
      context.say('delete it at the provider too');
    });
}

/** `2027-05-31, in 190 days`. */
export function countdown(facts: CredentialFacts, now: number): string {
  if (facts.expiresAt === undefined) return ends(facts);
  const days = Math.floor((facts.expiresAt - now) / 86_400_000);
  return `${ends(facts)}, ${days < 0 ? 'over' : days === 0 ? 'today' : `in ${days} days`}`;
}

function ends({ type, expiresAt }: CredentialFacts): string {
  if (expiresAt !== undefined) return when(expiresAt).slice(0, 10);
  return type === 'secret' ? 'unknown' : 'never';
}

function factsOf({ addedAt, expiresAt, ...facts }: CredentialFacts): Record<string, unknown> {
  return {
    ...facts,
    addedAt: new Date(addedAt).toISOString(),
    expiresAt: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
  };
}
