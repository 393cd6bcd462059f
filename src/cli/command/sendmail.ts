/** `postern sendmail`: what programs call as sendmail, into the outbox. */
import { Command } from 'commander';
import { headerEnd } from '../../outbox/header.ts';
import { headerAddresses } from '../../outbox/header-addresses.ts';
import type { Instance } from '../../server/instance.ts';
import type { Mailbox } from '../../store/types.ts';
import { Context } from '../context.ts';
import { cliError } from '../errors.ts';
import { readMail } from '../mail-input.ts';
import { collect } from '../value.ts';

interface SendmailOptions {
  readonly fromHeader?: boolean;
  readonly ignoreDots?: boolean;
  readonly sender?: string;
  readonly r?: string;
  readonly fullName?: string;
  readonly notify?: string;
  readonly return?: string;
  readonly envelopeId?: string;
  readonly verbose?: boolean;
}

export function sendmail(): Command {
  return (
    new Command('sendmail')
      .description('accept a message from standard input, with the flags programs use for sendmail')
      .argument('[recipients...]')
      .option('-t, --from-header', 'take recipients from To, Cc and Bcc, and remove Bcc')
      .option('-i, --ignore-dots', 'a line with a dot alone does not end the message')
      .option('-f, --sender <address>', 'envelope sender; default: the From of the header')
      .option('-r <address>', 'the same as -f')
      .option('-F, --full-name <name>', 'name for a From that is missing')
      .option('-N, --notify <when>', 'never, or success, failure, delay (RFC 3461)')
      .option('-R, --return <part>', 'what a report contains: full or hdrs')
      .option('--envelope-id <id>', 'comes back in reports (-V of sendmail, which is --version here)')
      .option('-v, --verbose', 'say the id of the message')
      // Taken and without meaning here: -o options, -b modes, -B body types, -m, -n, -U.
      .option('-o <option>', 'taken for compatibility; -oi is -i', collect)
      .option('-b <mode>', 'only -bm, reading a message')
      .option('-B <type>', 'taken for compatibility')
      .option('-m', 'taken for compatibility')
      .option('-n', 'taken for compatibility')
      .option('-U', 'taken for compatibility')
      .addHelpText(
        'after',
        '\nUse it as sendmail_path of PHP, `set sendmail` of mutt, or a link called sendmail. The message is accepted when the\nexit code is 0: it is in the outbox then, and a running `postern serve` delivers it.\n\nExample:\n  $ printf "To: bob@example.com\\nSubject: hello\\n\\nhi\\n" | postern sendmail -t -f alice@example.com\n',
      )
      .action(
        async (
          recipients: readonly string[],
          options: SendmailOptions & { o?: readonly string[]; b?: string },
          command: Command,
        ) => {
          const context = new Context(command);
          if (options.b !== undefined && options.b !== 'm')
            throw cliError('cli.usage', `sendmail mode -b${options.b} is not offered`, {
              hint: 'leave -b out, or use -bm',
            });
          const dots = options.ignoreDots === true || options.o?.includes('i') === true;
          const { begin, octets } = await readMail(process.stdin, dots);
          await context.withInstance(async (instance) => {
            const found = headerAddresses(begin.subarray(0, headerEnd(begin) ?? begin.length));
            const to = [...recipients, ...(options.fromHeader === true ? found.recipients : [])];
            const from = options.sender ?? options.r ?? found.from;
            if (from === undefined)
              throw cliError('cli.usage', 'the message has no sender', {
                hint: 'give -f ADDRESS, or a From in the header',
              });
            const mailbox = await mailboxFor(instance, from);
            const notify = notifyOf(options.notify);
            const ret = returnOf(options.return);
            const { message, replayed } = await instance.outbox.accept(
              {
                mailbox,
                source: 'sendmail',
                principal: `uid ${process.getuid?.() ?? 0}`,
                dropBcc: options.fromHeader === true,
                envelope: {
                  from,
                  recipients: [...new Set(to)].map((address) => ({
                    address,
                    ...(notify === undefined ? {} : { notify }),
                  })),
                  ...(ret === undefined ? {} : { ret }),
                  ...(options.envelopeId === undefined ? {} : { envid: options.envelopeId }),
                },
              },
              found.from === undefined ? after(`From: ${nameOf(options.fullName)}<${from}>\r\n`, octets) : octets,
            );
            if (context.json) context.result({ id: message.id, messageId: message.messageId, replayed }, []);
            else if (options.verbose === true) context.say(`${replayed ? 'known as' : 'queued as'} ${message.id}`);
          });
        },
      )
  );
}

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

/** The mailbox itself, or the one that declares the address as another sender. @throws cli.not-found */
async function mailboxFor({ store }: Instance, from: string): Promise<Mailbox> {
  const own = await store.mailboxes.find(from.toLowerCase());
  if (own) return own;
  const all = await store.mailboxes.list();
  const declared = all.find(({ settings }) => {
    const senders = settings['sendAs'];
    return (
      Array.isArray(senders) &&
      senders.some((one) => typeof one === 'string' && one.toLowerCase() === from.toLowerCase())
    );
  });
  if (declared) return declared;
  throw cliError('cli.not-found', `no mailbox sends as ${from}`, {
    hint: `there are: ${
      all
        .map(({ address }) => address)
        .slice(0, 10)
        .join(', ') || 'none'
    }; allow it: postern mailbox set ADDRESS --send-as ${from}`,
  });
}

async function* after(field: string, octets: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  yield Buffer.from(field);
  yield* octets;
}

function nameOf(name: string | undefined): string {
  return name === undefined ? '' : `"${name.replace(/[^\x20-\x7e]/g, '').replace(/["\\]/g, String.raw`\$&`)}" `;
}
