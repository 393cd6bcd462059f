/** Links for owners: where they lead, and how far they reach. */
import { consentLink, consoleAddress } from '../../server/consent-link.ts';
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

export function sayReach(context: Context, base: string): void {
  if (!base.startsWith('http:')) return;
  context.say('it works in a browser on this machine only; with console.publicUrl it works from anywhere');
}

export async function printLink(context: Context, instance: Instance, { address }: Mailbox): Promise<void> {
  const base = linkBase(instance);
  const link = await consentLink(instance, base, address);
  if (link === undefined) {
    throw cliError('cli.usage', `${address} is opened by the application itself; nobody has to sign in for it`, {
      hint: 'look at its credential: postern provider list',
    });
  }
  context.result({ address, link }, [link]);
  sayReach(context, base);
}
