/** The lane for devices that cannot sign in: never silent where it is open. */
import { maySendAs } from '../access/senders.ts';
import { shellWord } from '../base/shell.ts';
import type { Store } from '../store/types.ts';
import { type HandshakeFailure, inWords, SOMEBODYS } from '../protocol/tls/handshake-failure.ts';
import { checkError } from './errors.ts';
import type { InstallationFacts } from './home-facts.ts';
import { DAY_MS, type Found, operatorWarning } from './step.ts';

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

/** Sessions of a day that are looked through, the newest first. */
const MAX_SESSIONS = 2000;

/** Devices that could not begin TLS in the last day, and sent nothing since. */
export async function judgeRefusedDevices(audit: Pick<Store['audit'], 'latest'>, now: number): Promise<Found> {
  const sessions = await audit.latest({ type: 'session.ended', since: now - DAY_MS, limit: MAX_SESSIONS });
  const came = new Map<string, { last: (typeof sessions)[number]; times: number }>();
  for (const one of sessions) {
    if (one.data['source'] !== 'device') continue;
    const address = String(one.data['remoteAddress']);
    const known = came.get(address);
    if (known === undefined) came.set(address, { last: one, times: 1 });
    else if (known.last.data['handshakeFailure'] === one.data['handshakeFailure']) known.times += 1;
  }
  const refused = [...came].flatMap(([address, { last, times }]) => {
    const reason = last.data['handshakeFailure'] as HandshakeFailure | undefined;
    if (reason === undefined || !SOMEBODYS.has(reason)) return [];
    const offered = last.data['offered'];
    const { hint, message } = inWords(reason, 'device', typeof offered === 'string' ? offered : undefined);
    return [{ address, reason, times, at: new Date(last.at).toISOString(), message, hint }];
  });
  const [first] = refused;
  if (first === undefined) return { says: 'none in the last day because of TLS' };
  const said = refused.map(
    ({ address, reason, times, at }) => `${address}: ${reason}, ${times === 1 ? 'once' : `${times} times`}, last ${at}`,
  );
  return {
    says: `${refused.length} in the last day because of TLS`,
    notes: said,
    facts: { refused: refused.map(({ address, reason, times, at }) => ({ address, reason, times, at })) },
    warning: operatorWarning('tls.program', `${first.message}: ${said.join('; ')}`, {
      do: first.hint,
      run: 'postern explain program-tls',
    }),
  };
}
