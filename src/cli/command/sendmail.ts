/** `postern sendmail`: what programs call as sendmail, into the outbox. */
import { addressesOf, headerAddresses } from '../../outbox/header-addresses.ts';
import { completeRecipient, localName } from '../../outbox/local-name.ts';
import { cliError } from '../errors.ts';
import { readMail } from '../mail-input.ts';
import { dialogue } from '../sendmail-dialogue.ts';
import { machineNames, whoSends } from '../sendmail-sender.ts';
import { Subcommand } from '../subcommand.ts';

interface SendmailOptions {
  readonly fromHeader?: boolean;
  readonly ignoreDots?: boolean;
  readonly sender?: string;
  readonly r?: string;
  readonly fullName?: string;
  readonly mailbox?: string;
  readonly notify?: string;
  readonly return?: string;
  readonly envelopeId?: string;
  readonly verbose?: boolean;
  readonly o?: readonly string[];
  readonly b?: string;
}

export function sendmail(): Subcommand {
  return (
    new Subcommand('sendmail', 'accept a message from standard input, with the flags programs use for sendmail')
      .argument('[recipients...]')
      .option('-t, --from-header', 'take recipients from To, Cc and Bcc (or Resent-To, -Cc, -Bcc), and remove Bcc')
      .option('-i, --ignore-dots', 'a line with a dot alone does not end the message')
      .option('-f, --sender <address>', "envelope sender, '<>' for a report; default: the From of the header")
      .option('-r <address>', 'the same as -f')
      .option('-F, --full-name <name>', 'name for a From that is missing')
      .option('--mailbox <address>', 'whose consent sends it; default: the mailbox of the sender')
      .option('-N, --notify <when>', 'never, or success, failure, delay (RFC 3461)')
      .option('-R, --return <part>', 'what a report contains: full or hdrs')
      .option('--envelope-id <id>', 'comes back in reports (-V of sendmail, which is --version here)')
      .option('-v, --verbose', 'say the id of the message')
      // Taken and without meaning here: -o options, -b modes, -B body types, the rest.
      .option('-o <option>', 'taken for compatibility; -oi is -i', asGiven)
      .option('-b <mode>', '-bm: a message (as without it); -bs: SMTP on standard input and output')
      .option('-B <type>', 'taken for compatibility')
      .option('-m', 'taken for compatibility')
      .option('-n', 'taken for compatibility')
      .option('-U', 'taken for compatibility')
      .option('-G', 'taken for compatibility')
      .option('-O <option>', 'taken for compatibility')
      .option('-L <tag>', 'taken for compatibility')
      .remark(
        'Use it as sendmail_path of PHP, `set sendmail` of mutt, or link the command as sendmail (also mailq, newaliases):\n  ln -s "$(command -v postern)" /usr/local/sbin/sendmail\n-bp lists what waits, as mailq does; -q does nothing, because the outbox delivers by itself. The message is accepted when the\nexit code is 0: it is in the outbox then, and a running `postern serve` delivers it.',
      )
      .example('printf "To: bob@example.com\\nSubject: hello\\n\\nhi\\n" | postern sendmail -t -f alice@example.com')
      .run(async (context, recipients: readonly string[], options: SendmailOptions) => {
        if (options.b === 'i')
          return context.result({ aliases: 0 }, [
            'Postern has no aliases; mail for root goes to root at outbox.localDomain, or to whom MAILTO names',
          ]);
        if (options.b !== undefined && !['m', 's'].includes(options.b))
          throw cliError('cli.usage', `sendmail mode -b${options.b} is not offered`, {
            hint: 'use -bm (or no -b) for a message on standard input, -bs for SMTP there, -bp for what waits; SMTP over the network: postern serve',
          });
        if (options.b === 's')
          return context.withInstance(async (instance) => {
            const localHosts = await machineNames(instance);
            const local = localWith(localHosts);
            await dialogue(instance, { mailbox: options.mailbox, localHosts, local });
          });
        const dots = options.ignoreDots === true || options.o?.includes('i') === true;
        const { header, octets } = await readMail(process.stdin, dots);
        await context.withInstance(async (instance) => {
          const { localDomain } = instance.outbox;
          const localHosts = await machineNames(instance);
          const found = headerAddresses(header);
          const local = localWith(localHosts);
          const to = [
            ...recipients.flatMap((text) => addressesOf(text)),
            ...(options.fromHeader === true ? found.recipients : []),
          ].map((address) => completeRecipient(local(address), localDomain));
          const given = options.sender ?? options.r;
          const { mailbox, sender } = await whoSends(instance, {
            envelope: given === undefined ? undefined : local(senderOf(given)),
            header: found.from === undefined ? undefined : local(found.from),
            mailbox: options.mailbox,
          });
          const notify = notifyOf(options.notify);
          const ret = returnOf(options.return);
          const { message, replayed } = await instance.outbox.accept(
            {
              mailbox,
              source: 'sendmail',
              principal: `uid ${process.getuid?.() ?? 0}`,
              dropBcc: options.fromHeader === true,
              localHosts,
              ...(options.fullName === undefined ? {} : { authorName: options.fullName }),
              envelope: {
                from: sender,
                recipients: [...new Set(to)].map((address) => ({
                  address,
                  ...(notify === undefined ? {} : { notify }),
                })),
                ...(ret === undefined ? {} : { ret }),
                ...(options.envelopeId === undefined ? {} : { envid: options.envelopeId }),
              },
            },
            octets,
          );
          if (context.json) context.result({ id: message.id, messageId: message.messageId, replayed }, []);
          else if (options.verbose === true) context.say(`${replayed ? 'known as' : 'queued as'} ${message.id}`);
        });
      })
  );
}

/** A name of this machine as the local name that it is. */
const localWith =
  (localHosts: readonly string[]) =>
  (address: string): string =>
    localName({ address, isLocal: !address.includes('@') }, { localHosts }) ?? address;

const NOTIFY = new Set(['SUCCESS', 'FAILURE', 'DELAY']);

/** RFC 3461 §4.1. @throws cli.usage */
function notifyOf(text: string | undefined): readonly string[] | undefined {
  const words = text?.toUpperCase().split(',');
  if (words === undefined || words.every((word) => NOTIFY.has(word)) || words.join() === 'NEVER') return words;
  throw cliError('cli.usage', `-N ${text} is not known`, { hint: 'give never, or some of success,failure,delay' });
}

/** RFC 3461 §4.3. @throws cli.usage */
function returnOf(text: string | undefined): 'FULL' | 'HDRS' | undefined {
  const word = text?.toUpperCase();
  if (word === undefined || word === 'FULL' || word === 'HDRS') return word;
  throw cliError('cli.usage', `-R ${text} is not known`, { hint: 'give full or hdrs' });
}

/** `<alice@example.com>`, `alice@example.com`, `root`; `<>` and nothing for the null sender. @throws outbox.address, cli.usage */
function senderOf(text: string): string {
  const bare = text.trim();
  if (bare === '' || bare === '<>') return '';
  const [address, ...more] = addressesOf(bare);
  if (address !== undefined && more.length === 0) return address;
  throw cliError('cli.usage', `-f ${bare} is not one address`, { hint: "give one address, or -f '<>' for a report" });
}

/** Whatever it is: programs give options that mean nothing here. */
function asGiven(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
