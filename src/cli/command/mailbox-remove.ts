/** `postern mailbox remove`: forgets a mailbox, and ends the consent behind it as far as the provider lets us. */
import { shellWord } from '../../base/shell.ts';
import type { Revocation } from '../../oauth/revocation.ts';
import type { Withdrawn } from '../../access/withdraw.ts';
import { removeMailbox } from '../../admin/mailboxes.ts';
import { askLine } from '../ask.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { findMailbox } from '../../admin/find.ts';
import { Subcommand } from '../subcommand.ts';

export function remove(): Subcommand {
  return new Subcommand(
    'remove',
    'forget a mailbox, and its grant when no other mailbox uses it; the grant is revoked at the provider too',
  )
    .remark(
      'Open sessions end. App passwords, API keys and webhooks that name it no longer open it, also when it is added again; those that name nothing else are revoked. Microsoft offers no way to revoke a grant (RFC 7009): its owner or an administrator withdraws the consent there.',
    )
    .example('postern mailbox remove alice@example.com', 'postern mailbox remove alice@example.com --yes')
    .argument('<address>')
    .option('--yes', 'do not ask; needed where nobody can answer')
    .runWithInstance(async (context, instance, address: string, options: { yes?: true }) => {
      if (options.yes !== true) await confirm(context, (await findMailbox(instance, address)).address);
      const done = await context.perform(instance, removeMailbox, { address });
      const { address: removed, grantRemoved, revocation, catchAll, others, withdrawn } = done;
      context.result({ removed, grantRemoved, withdrawn, ...facts(revocation) }, [`removed ${removed}`]);
      for (const line of withdrawnWords(removed, withdrawn)) context.say(line);
      if (catchAll !== undefined)
        context.say(
          `${catchAll} opens ${removed} from now on; to close it, revoke its app passwords (postern password list) or remove '${catchAll}'`,
        );
      if (others.length > 0) context.say(`its grant stays, because it also opens ${others.join(', ')}`);
      else if (revocation) context.say(words(revocation));
    });
}

/** What ended with it, so that the same address with another consent is not open to whoever was let in before. */
function withdrawnWords(address: string, { appPasswords, apiKeys, webhooks }: Withdrawn): readonly string[] {
  const [ended, narrowed] = [true, false].map((revoked) =>
    [...appPasswords, ...apiKeys].filter((one) => one.revoked === revoked).map(({ id, label }) => `${id} (${label})`),
  ) as [string[], string[]];
  return [
    ...(ended.length === 0 ? [] : [`revoked with it, since they open nothing else: ${ended.join(', ')}`]),
    ...(narrowed.length === 0
      ? []
      : [`these open it no longer, and their other mailboxes as before: ${narrowed.join(', ')}`]),
    ...(webhooks.length === 0 ? [] : [`these webhooks are told of it no longer: ${webhooks.join(', ')}`]),
    ...(ended.length + narrowed.length === 0
      ? []
      : [`when ${address} is added again, make new ones: postern password add --help, postern apikey add --help`]),
  ];
}

function facts(revocation: Revocation | undefined): Record<string, unknown> {
  if (!revocation) return {};
  return {
    revocation: revocation.type,
    ...('byHand' in revocation ? { byHand: revocation.byHand } : {}),
    ...('error' in revocation ? { error: { code: revocation.error.code, message: revocation.error.message } } : {}),
  };
}

function words(revocation: Revocation): string {
  switch (revocation.type) {
    case 'revoked':
      return 'its grant is revoked at the provider';
    case 'nothing-to-revoke':
      return 'its grant held no tokens';
    case 'not-offered':
      return `its tokens are forgotten here, but the provider has no way to revoke them; ${revocation.byHand}`;
    case 'app-only':
      return `its token is forgotten here and ends within the hour; ${revocation.byHand}`;
    case 'still-used':
      return `its tokens are forgotten here, but not revoked, because another grant of the same person would end too; when that is not needed any more, ${revocation.byHand}`;
    case 'failed':
      return `its tokens are forgotten here, but could not be revoked (${revocation.error.message}); ${revocation.byHand}`;
  }
}

/** @throws cli.needs-terminal, cli.usage (anything else was typed) */
async function confirm(context: Context, address: string): Promise<void> {
  if (!process.stdin.isTTY || context.json)
    throw cliError('cli.needs-terminal', `${address} was not removed: nobody agreed to it`, {
      hint: `if it is meant: postern mailbox remove ${shellWord(address)} --yes`,
    });
  context.ask(
    `this ends the sessions of ${address}, its app passwords and API keys, and forgets its consent; only its owner can give a new one`,
  );
  if ((await askLine(`type ${address} to remove it: `)).trim().toLowerCase() === address) return;
  throw cliError('cli.usage', `${address} was not removed`, { hint: 'nothing was changed' });
}
