/** `postern outbox`: what waits, what happened to it, and what can be done. */
import { shellWord } from '../../base/shell.ts';
import { Option } from 'commander';
import { type Diagnosis, diagnoseReply, stepText } from '../../oauth/catalogue/diagnose.ts';
import type { Instance } from '../../server/instance.ts';
import { type HeldMailbox, heldOf, heldText, listHeld, releaseCommand } from '../../outbox/held.ts';
import { concerns, listRests, type Rest, restText } from '../../outbox/rest.ts';
import type { MessageEvent, MessageState, OutboxMessage } from '../../store/types-outbox.ts';
import { type Context, table, when } from '../context.ts';
import { cliError } from '../errors.ts';
import { holdMailbox, releaseMailbox } from '../../admin/mailboxes.ts';
import { cancelMessage, holdMessage, readMessage, retryMessage } from '../../admin/messages.ts';
import { mailboxFilter } from '../mailbox-filter.ts';
import { Subcommand } from '../subcommand.ts';
import { between, ipAddress, since, until } from '../value.ts';

const STATES = ['queued', 'sending', 'held', 'sent', 'failed', 'cancelled'] as const;

export function outbox(): Subcommand {
  return new Subcommand('outbox', 'accepted mail: what waits, what happened to it, and what can be done')
    .example('postern outbox list --state failed')
    .addCommands(
      list(),
      show(),
      change('retry', 'send a message now: one that waits, is held or failed', retryMessage),
      change('cancel', 'never send a message', cancelMessage),
      hold(),
      release(),
    );
}

interface ListOptions {
  readonly state?: MessageState['type'];
  readonly mailbox?: string;
  readonly to?: string;
  readonly messageId?: string;
  readonly password?: string;
  readonly address?: string;
  readonly since?: number;
  readonly until?: number;
  readonly limit: number;
}

function list(): Subcommand {
  return new Subcommand('list', 'messages, the newest first')
    .addOption(new Option('--state <state>', 'only these').choices(STATES))
    .option('--mailbox <address>', 'only of this mailbox')
    .option('--to <address>', 'only to this recipient')
    .option('--message-id <id>', 'only with this Message-ID, angle brackets included')
    .option('--password <id>', 'only by this app password or API key, or "device NAME" of a rule')
    .option('--address <ip>', 'only from this network address', ipAddress)
    .option('--since <when>', 'a day (2026-11-21), a time, yesterday, or how long ago (24h); UTC', since)
    .option('--until <when>', 'the same; of a day its end', until)
    .option('--limit <n>', 'how many', between(1, 1000), 50)
    .example(
      'postern outbox list --mailbox alice@example.com --state queued',
      'postern outbox list --address 192.168.1.40 --since yesterday',
    )
    .runWithInstance(async (context, instance, options: ListOptions) => {
      const { address, limit, messageId, password, state, to, since, until } = options;
      const mailbox = await mailboxFilter(context, instance, options.mailbox);
      const states = state && [state];
      const from = { principal: password, remoteAddress: address };
      const filter = { mailbox, states, recipient: to, messageId, ...from, since, until };
      const messages = await instance.outbox.list(filter, { limit });
      const stats = await instance.outbox.stats(mailbox);
      const rests = await listRests(instance.store.outbox);
      const held = await listHeld(instance.store);
      const keeping = await heldAmong(instance.store, messages, held);
      context.result(
        {
          stats,
          resting: rests,
          heldMailboxes: held,
          messages: messages.map((one) => facts(one, keeping.get(one.mailbox))),
        },
        messages.length === 0
          ? []
          : table(
              ['ID', 'ACCEPTED', 'FROM', 'TO', 'OCTETS', 'STATE'],
              messages.map((one) => [
                one.id,
                when(one.createdAt),
                one.envelopeFrom === '' ? '(report)' : one.envelopeFrom,
                recipientsOf(one),
                String(one.size),
                stateOf(one, keeping.get(one.mailbox)),
              ]),
            ),
      );
      const { queued, sending, oldestDueAt } = stats;
      const age = oldestDueAt === undefined ? '' : `; the oldest that is due was accepted ${when(oldestDueAt)} UTC`;
      context.say(`${queued} waiting, ${sending} being sent, ${stats.held} held${age}`);
      for (const one of held) {
        context.say(heldText(one));
        context.say(`  next: ${releaseCommand(one)}`);
      }
      for (const rest of rests) {
        context.say(restText(rest));
        if (rest.remedy !== '') context.say(`  next: ${rest.remedy}`);
      }
    });
}

function show(): Subcommand {
  return new Subcommand('show', 'one message with its whole story')
    .argument('<id>')
    .option('--body', 'the octets of the message itself instead')
    .example('postern outbox show msg_…')
    .runWithInstance(async (context, instance, id: string, options: { body?: boolean }) => {
      const { outbox: box, store } = instance;
      const message = await box.find(id);
      if (!message) throw cliError('cli.not-found', `there is no message ${id}`, { hint: 'postern outbox list' });
      if (options.body === true) {
        if (context.json)
          throw cliError('cli.usage', 'the octets of a message are no JSON', {
            hint: 'leave out --json, or --body',
          });
        await context.perform(instance, readMessage, { id });
        for await (const octets of box.body(message)) process.stdout.write(octets);
        return;
      }
      const story = await box.events({ messageId: id, limit: 1000 });
      const diagnosis = whyNot(message, story);
      const rests = message.state.type === 'queued' ? await restsOf(store, message.mailbox) : [];
      const held = await heldFor(store, message);
      context.result(
        {
          ...facts(message, held),
          diagnosis: diagnosis ?? null,
          resting: rests,
          events: story.map(({ at, data, seq, type }) => ({ seq, at, type, ...data })),
        },
        [
          `${message.id}  ${stateOf(message, held)}`,
          ...(held ? [`  held      ${heldText(held)}`, `  next      ${releaseCommand(held)}`] : []),
          `  from      ${message.envelopeFrom === '' ? '(report)' : message.envelopeFrom} through ${message.mailbox}`,
          ...message.recipients.map(
            ({ address, state, reply, mayHaveArrived: doubt }) =>
              `  to        ${address}  ${state}${doubt === undefined || state === 'delivered' ? '' : ', but may have arrived'}${reply === undefined ? '' : `: ${reply}`}`,
          ),
          ...(diagnosis
            ? [`  because   ${diagnosis.cause}`, ...diagnosis.remedy.map((step) => `  next      ${stepText(step)}`)]
            : []),
          ...rests.map((rest) => `  waits     ${restText(rest)}`),
          `  header    ${message.messageId}`,
          `  octets    ${message.size}, handed over by ${message.source} with ${message.principal}${message.remoteAddress === undefined ? '' : ` from ${message.remoteAddress}`}`,
          `  deadline  ${when(message.deadline)} UTC`,
          '',
          ...story.map(
            (event) => `  ${new Date(event.at).toISOString().slice(0, 19).replace('T', ' ')}  ${tell(event)}`,
          ),
        ],
      );
    });
}

function change(name: string, description: string, act: typeof cancelMessage): Subcommand {
  return new Subcommand(name, description)
    .argument('<id...>')
    .addHelpText('after', `\nExample:\n  $ postern outbox ${shellWord(name)} msg_…\n`)
    .runWithInstance(async (context, instance, ids: readonly string[]) => {
      const changed: { readonly message: OutboxMessage; readonly held: HeldMailbox | undefined }[] = [];
      for (const id of ids) {
        const message = await context.perform(instance, act, { id });
        changed.push({ message, held: await heldFor(instance.store, message) });
      }
      context.result(
        changed.map(({ message, held }) => facts(message, held)),
        changed.map(({ message, held }) => `${message.id}: ${stateOf(message, held)}`),
      );
      const keeping = new Map(changed.flatMap(({ held }) => (held ? [[held.mailbox, held] as const] : [])));
      for (const held of keeping.values()) {
        context.say(heldText(held));
        context.say(`  next: ${releaseCommand(held)}`);
      }
    });
}

function hold(): Subcommand {
  return new Subcommand('hold', 'keep a message, or everything of a mailbox, from being sent')
    .argument('<id-or-address>')
    .option('--reason <text>', 'for whoever looks at it later', 'by hand')
    .example('postern outbox hold tickets@example.com --reason "wrong template"')
    .run(async (context, which: string, options: { reason: string }) => {
      if (!which.includes('@')) return tellState(context, await context.act(holdMessage, { id: which, ...options }));
      const { address } = await context.act(holdMailbox, { address: which, ...options });
      context.result({ mailbox: address, held: true }, [`nothing of ${address} is sent until it is released`]);
      return context.say(`new mail is still accepted; go on with: postern outbox release ${shellWord(address)}`);
    });
}

function release(): Subcommand {
  return new Subcommand('release', 'let a held message, or a held mailbox, go')
    .argument('<id-or-address>')
    .example('postern outbox release tickets@example.com')
    .run(async (context, which: string) => {
      if (!which.includes('@')) return tellState(context, await context.act(retryMessage, { id: which }));
      const { address, wasHeld } = await context.act(releaseMailbox, { address: which });
      return context.result({ mailbox: address, held: false }, [
        wasHeld ? `mail of ${address} is sent again` : `${address} was not held`,
      ]);
    });
}

function tellState(context: Context, message: OutboxMessage): void {
  context.result(facts(message), [`${message.id}: ${stateOf(message)}`]);
}

/** What keeps mail of a mailbox just now. */
async function restsOf(store: Instance['store'], address: string): Promise<readonly Rest[]> {
  const mailbox = await store.mailboxes.find(address);
  const grant = mailbox && (await store.grants.find(mailbox.grantId));
  return (await listRests(store.outbox)).filter((rest) => concerns(rest, address, grant?.applicationId));
}

/** Whoever holds the mailbox of a message that waits: it is not sent before. */
async function heldFor(
  { mailboxes }: Pick<Instance['store'], 'mailboxes'>,
  { mailbox, state }: OutboxMessage,
): Promise<HeldMailbox | undefined> {
  return state.type === 'queued' ? heldOf(await mailboxes.opened(mailbox)) : undefined;
}

/** The same for many, by mailbox. @param held every mailbox that is held */
async function heldAmong(
  store: Pick<Instance['store'], 'mailboxes'>,
  messages: readonly OutboxMessage[],
  held: readonly HeldMailbox[],
): Promise<ReadonlyMap<string, HeldMailbox>> {
  const found = new Map<string, HeldMailbox>();
  if (held.length === 0) return found;
  for (const address of new Set(messages.map(({ mailbox }) => mailbox))) {
    const keeps = heldOf(await store.mailboxes.opened(address));
    if (keeps) found.set(address, keeps);
  }
  return found;
}

function recipientsOf({ recipients }: OutboxMessage): string {
  const [first, ...others] = recipients;
  return others.length === 0 ? first!.address : `${first!.address} and ${others.length} more`;
}

/** The cause of the last attempt's end, where the catalogue knows the reply. */
function whyNot({ state, mailbox }: OutboxMessage, story: readonly MessageEvent[]): Diagnosis | undefined {
  if (state.type === 'sent' || state.type === 'cancelled') return undefined;
  const said = story.findLast(({ data }) => typeof data['reply'] === 'string')?.data['reply'];
  return typeof said === 'string' ? diagnoseReply(said, { address: mailbox }) : undefined;
}

/** @param keeps whoever holds its mailbox */
function stateOf({ state, attempts }: OutboxMessage, keeps?: HeldMailbox): string {
  switch (state.type) {
    case 'queued':
      if (keeps) return `held with its mailbox: ${keeps.reason}`;
      return attempts === 0
        ? `waits (due ${when(state.nextAt)})`
        : `waits after ${attempts} attempt${attempts === 1 ? '' : 's'}, next try ${when(state.nextAt)}`;
    case 'sending':
      return 'is being sent';
    case 'held':
      return `held: ${state.reason}`;
    case 'sent':
      return `sent ${when(state.at)}`;
    case 'failed':
      return `failed: ${state.reason}`;
    case 'cancelled':
      return 'cancelled';
  }
}

function facts(one: OutboxMessage, keeps?: HeldMailbox): Record<string, unknown> {
  const { key: _key, bodyId: _body, chunks: _chunks, fence: _fence, seq: _seq, ...shown } = one;
  return { ...shown, ...(keeps && one.state.type === 'queued' ? { mailboxHeld: keeps } : {}) };
}

/** One line of the story, in words. */
function tell({ data, type }: MessageEvent): string {
  const said = typeof data['reply'] === 'string' ? data['reply'] : data['reason'];
  const words = typeof said === 'string' ? `: ${said}` : '';
  const by = typeof data['by'] === 'string' ? ` by ${data['by']}` : '';
  switch (type) {
    case 'attempted': {
      const next = typeof data['next'] === 'string' ? `, so by ${data['next']}` : '';
      return `attempt ${String(data['attempt'])} by ${String(data['route'])} ended ${String(data['outcome'])}${words}${next}`;
    }
    case 'deferred':
      return `waits until ${String(data['nextAt'])}${data['mayBeDuplicate'] === true ? ' (it may arrive twice)' : ''}${words}`;
    case 'sent':
      return `${type}${data['mayBeDuplicate'] === true ? ' (it may arrive twice)' : ''}${words}`;
    case 'failed':
      return `${type}${data['mayHaveArrived'] === undefined ? '' : ' (it may have arrived)'}${words}`;
    default:
      return `${type}${by}${words}`;
  }
}
