/** Looks for a message among what the mailbox has sent: the provider keeps a copy of what it took. */
import type { Log } from '../../base/log.ts';
import { asError } from '../../base/error.ts';
import { ImapCommands, listed, quoted } from '../../protocol/imap/command.ts';
import type { Mailbox } from '../../store/types.ts';
import type { OutboxMessage } from '../../store/types-outbox.ts';
import type { SignInAt } from './smtp-route.ts';
import type { SentProbe } from './types.ts';

/** Where servers that do not mark it (RFC 6154 \Sent) keep it; Exchange's and Gmail's own names in English. */
const USUAL = ['Sent Items', 'Sent', '[Gmail]/Sent Mail', 'INBOX.Sent', 'Sent Messages'];

export class ImapSentProbe implements SentProbe {
  readonly #signIn: SignInAt;
  readonly #log: Log;

  constructor(signIn: SignInAt, log: Log) {
    this.#signIn = signIn;
    this.#log = log;
  }

  async look(message: OutboxMessage, mailbox: Mailbox, signal: AbortSignal): Promise<'found' | 'absent' | 'unable'> {
    if (!mailbox.protocols.includes('imap')) return 'unable';
    try {
      const { conn, endpoint } = await this.#signIn(mailbox, 'imap', signal);
      const imap = new ImapCommands(conn, endpoint.host);
      try {
        const folder = await sentFolder(imap, signal);
        if (folder === undefined) return 'unable';
        if ((await imap.run(`EXAMINE ${quoted(folder)}`, signal)).status !== 'OK') return 'unable';
        const id = message.messageId.replace(/^<|>$/g, '');
        const found = await imap.run(`UID SEARCH HEADER Message-ID ${quoted(id)}`, signal);
        if (found.status !== 'OK') return 'unable';
        return found.untagged.some((line) => /^SEARCH(?: \d+)+/i.test(line)) ? 'found' : 'absent';
      } finally {
        imap.end();
      }
    } catch (error) {
      signal.throwIfAborted();
      const facts = { id: message.id, mailbox: mailbox.address, err: asError(error) };
      this.#log.warn(facts, 'what was sent could not be looked at');
      return 'unable';
    }
  }
}

async function sentFolder(imap: ImapCommands, signal: AbortSignal): Promise<string | undefined> {
  const { untagged } = await imap.run('LIST "" "*"', signal);
  const folders = untagged.flatMap((line) => listed(line) ?? []);
  const marked = folders.find(({ flags }) => flags.some((flag) => flag.toLowerCase() === '\\sent'));
  return marked?.name ?? USUAL.find((name) => folders.some((folder) => folder.name === name));
}
