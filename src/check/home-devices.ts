/** The lane for devices that cannot sign in: never silent where it is open. */
import { maySendAs } from '../access/senders.ts';
import { shellWord } from '../base/shell.ts';
import type { Store } from '../store/types.ts';
import { checkError } from './errors.ts';
import type { InstallationFacts } from './home-facts.ts';
import { type Found, operatorWarning } from './step.ts';

/** @throws check.devices when a rule names a mailbox or sender that cannot send */
export async function judgeDevices(
  { host, port, rules, tls }: NonNullable<InstallationFacts['devices']>,
  store: Pick<Store, 'mailboxes'>,
): Promise<Found> {
  for (const { name, mailbox, sender = mailbox } of rules) {
    const found = await store.mailboxes.opened(mailbox.toLowerCase());
    if (!found)
      throw checkError('check.devices', `the devices of ${name} send through ${mailbox}, which is not set up`, {
        hint: `postern mailbox add ${shellWord(mailbox)}, or name another mailbox under outbox.devices in postern.yaml`,
      });
    if (!maySendAs(found, sender))
      throw checkError('check.devices', `the devices of ${name} send as ${sender}, which ${mailbox} may not`, {
        hint: `postern mailbox set ${shellWord(mailbox)} --send-as ${shellWord(sender)}`,
      });
  }
  const who = rules.map(
    ({ mailbox, networks, perHour, sender = mailbox }) =>
      `${networks.join(', ')} as ${sender}, to ${perHour} recipients an hour`,
  );
  return {
    says: `without any sign-in, at ${host}:${port}: ${who.join('; ')}`,
    facts: { host, port, tls, rules },
    warning: operatorWarning(
      'home.devices-open',
      `whoever is in these networks can send mail in your name, without a password${tls === 'none' ? ' and, where the device does not use STARTTLS, in plain text' : ''}`,
      { do: 'name single addresses instead of networks, and keep perHour low' },
      ...(tls === 'none' || tls === 'plain'
        ? [{ do: 'set outbox.devices.tls: starttls when every device speaks TLS' }]
        : []),
      { do: 'give each device that can sign in its own password', run: 'postern password add --help' },
      { do: 'take outbox.devices out of postern.yaml when no device needs it' },
    ),
  };
}
