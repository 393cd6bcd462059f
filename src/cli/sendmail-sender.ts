/** Who a message on `sendmail`’s standard input is from, and through which mailbox it leaves. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { maySendAs } from '../access/senders.ts';
import { shellWord } from '../base/shell.ts';
import type { Instance } from '../server/instance.ts';
import { isCatchAll } from '../store/table/mailboxes.ts';
import type { Mailbox } from '../store/types.ts';
import { cliError } from './errors.ts';

export interface SenderWish {
  /** `-f`: an address, a local name, or empty for the null sender. */
  readonly envelope: string | undefined;
  /** Of the header; a local name stays one. */
  readonly header: string | undefined;
  /** `--mailbox`. */
  readonly mailbox: string | undefined;
}

export interface Sending {
  readonly mailbox: Mailbox;
  /** Of the envelope; empty for reports. */
  readonly sender: string;
}

type Deps = Pick<Instance, 'config' | 'outbox' | 'store'>;

/**
 * A whole address needs a mailbox that may send as it. Whoever has none (cron’s root, PHP’s www-data, a message without From)
 * sends as the mailbox for local senders, and the header keeps the name. That `*@domain` would open `root@domain` makes no mailbox of
 * it: the provider has one only where somebody added it.
 * @throws cli.not-found
 */
export async function whoSends(deps: Deps, { envelope, header, mailbox: named }: SenderWish): Promise<Sending> {
  const { localDomain } = deps.outbox;
  const own = named === undefined ? undefined : await namedMailbox(deps, named);
  const given = envelope ?? header;
  const from = given === undefined || localDomain === undefined ? given : await bareName(deps, given, localDomain);
  if (from === '') return { mailbox: own ?? (await reportingMailbox(deps, header)), sender: '' };
  if (from?.includes('@') === true)
    return { mailbox: own ?? (await ownerOf(deps, from)) ?? (await nobody(deps, from)), sender: from };
  const completed = from === undefined || localDomain === undefined ? [] : [`${from}@${localDomain}`];
  for (const sender of completed) {
    const mailbox = own ?? (await ownerOf(deps, sender, 'added'));
    if (mailbox && maySendAs(mailbox, sender)) return { mailbox, sender };
  }
  if (header?.includes('@') === true) {
    const mailbox = own ?? (await ownerOf(deps, header));
    if (mailbox && maySendAs(mailbox, header)) return { mailbox, sender: header };
  }
  const mailbox = own ?? (await localMailbox(deps, from));
  return { mailbox, sender: mailbox.address };
}

/** `root` of `root@localDomain`, which is what `root` would be completed to, where nobody has that address. */
async function bareName(deps: Deps, address: string, localDomain: string): Promise<string> {
  const at = address.lastIndexOf('@');
  if (at <= 0 || address.slice(at + 1).toLowerCase() !== localDomain.toLowerCase()) return address;
  return (await ownerOf(deps, address)) ? address : address.slice(0, at);
}

/**
 * Domains that programs of this machine write behind the names of its users: its own names (/etc/mailname is what Debian's
 * programs take), but none in which there are mailboxes or declared senders. In lower case.
 */
export async function machineNames({ store }: Pick<Deps, 'store'>): Promise<readonly string[]> {
  const own = [hostname(), mailName(), 'localhost', 'localhost.localdomain'].map((name) => name.toLowerCase());
  const short = own.map((name) => name.split('.')[0] ?? '');
  const senders = (await store.mailboxes.list()).flatMap(({ address, settings }) => [
    address,
    ...(settings.sendAs ?? []),
  ]);
  const taken = new Set(senders.map((address) => address.slice(address.lastIndexOf('@') + 1)));
  return [...new Set([...own, ...short])].filter((name) => name !== '' && !taken.has(name));
}

function mailName(): string {
  try {
    return readFileSync('/etc/mailname', 'latin1').trim().slice(0, 255);
  } catch {
    // Not every system has one.
    return '';
  }
}

/**
 * The mailbox of an address, or the one that declares it as another sender.
 * @param which `added`: only one that somebody added under this very address
 */
async function ownerOf(
  { store }: Deps,
  address: string,
  which: 'added' | 'opened' = 'opened',
): Promise<Mailbox | undefined> {
  const { mailboxes } = store;
  return (
    (await (which === 'added' ? mailboxes.find(address) : mailboxes.opened(address.toLowerCase()))) ??
    (await mailboxes.list()).find((mailbox) => !isCatchAll(mailbox.address) && maySendAs(mailbox, address))
  );
}

async function reportingMailbox(deps: Deps, header: string | undefined): Promise<Mailbox> {
  const isDaemon = header === undefined || !header.includes('@') || /^mailer-daemon@/i.test(header);
  const owner = header === undefined ? undefined : await ownerOf(deps, header);
  if (owner || !isDaemon) return owner ?? (await nobody(deps, header));
  const mailbox = await defaultMailbox(deps);
  if (mailbox) return mailbox;
  throw cliError('cli.not-found', 'a report has no sender to find its mailbox by', {
    hint: `name it: --mailbox ADDRESS; ${await thereAre(deps)}`,
  });
}

/** @throws cli.not-found */
async function localMailbox(deps: Deps, name: string | undefined): Promise<Mailbox> {
  const mailbox = await defaultMailbox(deps);
  if (mailbox) return mailbox;
  const { localMailbox: wanted } = deps.config.outbox;
  const what = name === undefined ? 'the message has no sender' : `${name} is a name of this machine, not an address`;
  const sending = await sendingMailboxes(deps);
  const several = sending.length === 0 ? 'no mailbox may send' : 'several mailboxes could send it';
  throw cliError(
    'cli.not-found',
    wanted === undefined
      ? `${what}, and ${sending.some(({ address }) => isCatchAll(address)) ? 'every address of a domain could send it' : several}`
      : `${what}, and there is no mailbox ${wanted}, which outbox.localMailbox names`,
    {
      hint: `say in postern.yaml which mailbox sends such mail: outbox: { localMailbox: ADDRESS }; or give --mailbox ADDRESS; ${await thereAre(deps)}`,
    },
  );
}

/** `outbox.localMailbox`; unless given, the only mailbox that may send. */
async function defaultMailbox({ config, store }: Deps): Promise<Mailbox | undefined> {
  const { localMailbox: wanted } = config.outbox;
  if (wanted !== undefined) return store.mailboxes.opened(wanted.toLowerCase());
  const [only, ...more] = await sendingMailboxes({ store });
  return only && more.length === 0 && !isCatchAll(only.address) ? only : undefined;
}

async function sendingMailboxes({ store }: Pick<Deps, 'store'>): Promise<readonly Mailbox[]> {
  return (await store.mailboxes.list()).filter(({ protocols }) => protocols.includes('smtp'));
}

/** @throws cli.not-found */
async function namedMailbox(deps: Deps, address: string): Promise<Mailbox> {
  const mailbox = await deps.store.mailboxes.opened(address.toLowerCase());
  if (mailbox && !isCatchAll(mailbox.address)) return mailbox;
  throw cliError(
    'cli.not-found',
    mailbox
      ? `${address} stands for every address of its domain; name the one that sends`
      : `there is no mailbox ${address}`,
    { hint: mailbox ? `--mailbox SOMEBODY${address.slice(1)}` : await thereAre(deps) },
  );
}

/** @throws cli.not-found */
async function nobody(deps: Deps, from: string | undefined): Promise<never> {
  throw cliError('cli.not-found', `no mailbox sends as ${from}`, {
    hint: `${await thereAre(deps)}; where the provider lets a mailbox send as it: postern mailbox set ADDRESS --send-as ${shellWord(from ?? '')}`,
  });
}

async function thereAre({ store }: Deps): Promise<string> {
  const known = (await store.mailboxes.list()).map(({ address }) => address);
  return `there are: ${known.slice(0, 10).join(', ') || 'none'}`;
}
