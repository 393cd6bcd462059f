/** Links for owners: where they lead, and how far they reach. */
import { consentLink } from '../../onboard/consent-link.ts';
import { consoleAddress } from '../../server/console-address.ts';
import type { Instance } from '../../server/instance.ts';
import type { Mailbox } from '../../store/types.ts';
import type { Context } from '../context.ts';
import { cliError } from '../errors.ts';

/** @throws cli.usage when no link would last */
export function linkBase({ config }: Instance): string {
  const base = consoleAddress(config);
  if (new URL(base).port === '0') {
    throw cliError('cli.usage', 'the console takes a different port at each start, so no link to it lasts', {
      hint: 'set console.port in postern.yaml',
    });
  }
  return base;
}

export function sayReach(context: Context, { config }: Instance, base: string): void {
  if (!base.startsWith('http:')) return;
  context.say('it works in a browser on this machine only');
  context.say(
    `for owners elsewhere: set console.publicUrl in ${config.home.config} to the https address of a proxy in front of ${new URL(base).host}, register that address, with a slash at its end, as redirect URI of the application, and restart postern serve (docs/renewal.md)`,
  );
}

export async function printLink(context: Context, instance: Instance, { address }: Mailbox): Promise<void> {
  const base = linkBase(instance);
  const link = await consentLink(instance, base, address);
  if (link === undefined) {
    throw cliError('cli.usage', `${address} is opened by the application itself; nobody has to sign in for it`, {
      hint: 'look at its credential: postern application list',
    });
  }
  context.result({ address, link }, [link]);
  sayReach(context, instance, base);
}
