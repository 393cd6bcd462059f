/** Who a message on `sendmail`’s standard input is from, and through which mailbox it leaves. */
import { maySendAs } from '../access/senders.ts';
import { shellWord } from '../base/shell.ts';
import type { Instance } from '../server/instance.ts';
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
 * sends as the mailbox for local senders, and the header keeps the name.
 * @throws cli.not-found
 */
export async function whoSends(deps: Deps, { envelope, header, mailbox: named }: SenderWish): Promise<Sending> {
  const { localDomain } = deps.outbox;
  const own = named === undefined ? undefined : await namedMailbox(deps, named);
  const from = envelope ?? header;
  if (from === '') return { mailbox: own ?? (await reportingMailbox(deps, header)), sender: '' };
  if (from?.includes('@') === true)
    return { mailbox: own ?? (await ownerOf(deps, from)) ?? (await nobody(deps, from)), sender: from };
  const completed = from === undefined || localDomain === undefined ? [] : [`${from}@${localDomain}`];
  const candidates = [...completed, ...(header?.includes('@') === true ? [header] : [])];
  for (const sender of candidates) {
    const mailbox = own ?? (await ownerOf(deps, sender));
    if (mailbox && maySendAs(mailbox, sender)) return { mailbox, sender };
  }
  const mailbox = own ?? (await localMailbox(deps, from));
  return { mailbox, sender: mailbox.address };
}

/** The mailbox of an address, or the one that declares it as another sender. */
async function ownerOf({ store }: Deps, address: string): Promise<Mailbox | undefined> {
  return (
    (await store.mailboxes.opened(address.toLowerCase())) ??
    (await store.mailboxes.list()).find((mailbox) => maySendAs(mailbox, address))
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
  throw cliError(
    'cli.not-found',
    wanted === undefined
      ? `${what}, and several mailboxes could send it`
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
  const sending = (await store.mailboxes.list()).filter(({ protocols }) => protocols.includes('smtp'));
  return sending.length === 1 ? sending[0] : undefined;
}

/** @throws cli.not-found */
async function namedMailbox(deps: Deps, address: string): Promise<Mailbox> {
  const mailbox = await deps.store.mailboxes.opened(address.toLowerCase());
  if (mailbox) return mailbox;
  throw cliError('cli.not-found', `there is no mailbox ${address}`, { hint: await thereAre(deps) });
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
