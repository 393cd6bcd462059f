/** `postern application credential`: several live credentials, so that one is replaced while mail flows. */
import { shellWord } from '../../base/shell.ts';
import { openCredentials } from '../../oauth/application.ts';
import { countdown, dayOf } from '../../oauth/credential-ends.ts';
import { activateCredential, addCredential, dateCredential, removeCredential } from '../../admin/applications.ts';
import type { CredentialFacts } from '../../store/types.ts';
import { addCredentialOptions, type CredentialOptions, readCredential } from '../credential-options.ts';
import { when } from '../context.ts';
import { cliError } from '../errors.ts';
import { findApplication } from '../../admin/find.ts';
import { Subcommand } from '../subcommand.ts';
import { moment } from '../value.ts';

export function credential(): Subcommand {
  return new Subcommand('credential', 'client secrets and certificates of an application, several side by side')
    .example('postern application credential list work')
    .addCommands(add(), list(), set(), activate(), remove());
}

function add(): Subcommand {
  return addCredentialOptions(
    new Subcommand('add', 'add a credential behind those in use; it is used as soon as the provider refuses them')
      .argument('<application>')
      .option('--activate', 'use it first from now on'),
  )
    .example('postern application credential add work --client-secret-file new.txt --secret-expires 2027-05-31')
    .run(async (context, name: string, options: CredentialOptions & { activate?: true }) => {
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

function list(): Subcommand {
  return new Subcommand('list', 'the credentials of an application, the one in use first')
    .argument('<application>')
    .example('postern application credential list work')
    .runWithInstance(async (context, { store, vault, clock }, name: string) => {
      const application = await findApplication(store, name);
      const all = (await openCredentials(vault, application)).map(({ facts }) => facts);
      context.list(
        all,
        (one) => ({ ...factsOf(one), active: one === all[0] }),
        {
          CREDENTIAL: ({ id }) => id,
          TYPE: ({ type }) => type,
          ADDED: ({ addedAt }) => when(addedAt),
          ENDS: (one) => endText(one, clock.now()),
          USE: (one) => (one === all[0] ? 'first' : 'stands by'),
        },
        `${application.name} is a public client without a credential`,
      );
    });
}

function set(): Subcommand {
  return new Subcommand('set', 'say when a client secret ends')
    .argument('<application>')
    .argument('<credential>', 'its id, from postern application credential list')
    .requiredOption('--secret-expires <date>', 'as the provider’s page says: 2027-05-31, or 180d from now', moment)
    .example('postern application credential set work cred_… --secret-expires 2027-05-31')
    .runWithInstance(async (context, instance, name: string, id: string, options: { secretExpires: number }) => {
      const { changed } = await context.perform(instance, dateCredential, {
        name,
        id,
        secretExpiresAt: options.secretExpires,
      });
      context.result(factsOf(changed), [`${id} ends ${endText(changed, instance.clock.now())}`]);
    });
}

function activate(): Subcommand {
  return new Subcommand('activate', 'use this credential first from now on')
    .argument('<application>')
    .argument('<credential>', 'its id, from postern application credential list')
    .example('postern application credential activate work cred_…')
    .run(async (context, name: string, id: string) => {
      await context.act(activateCredential, { name, id });
      context.result({ activated: id }, [`${id} is used first now`]);
    });
}

function remove(): Subcommand {
  return new Subcommand('remove', 'forget a credential; the last one of an application in use stays')
    .argument('<application>')
    .argument('<credential>', 'its id, from postern application credential list')
    .example('postern application credential remove work cred_…')
    .run(async (context, name: string, id: string) => {
      await context.act(removeCredential, { name, id });
      context.result({ removed: id }, [`removed ${id}`]);
      context.say('delete it at the provider too');
    });
}

/** `2027-05-31, in 190 days`. */
export function endText(facts: CredentialFacts, now: number): string {
  return facts.expiresAt === undefined ? ends(facts) : `${ends(facts)}, ${countdown(facts.expiresAt, now)}`;
}

function ends({ type, expiresAt }: CredentialFacts): string {
  if (expiresAt !== undefined) return dayOf(expiresAt);
  return type === 'secret' ? 'unknown' : 'never';
}

function factsOf(facts: CredentialFacts): Record<string, unknown> {
  return { ...facts, expiresAt: facts.expiresAt ?? null };
}
