/** The guided way from an installation to a mailbox that works: provider, application, consent, check, app password, mail program. */
import { asStarted } from './command-name.ts';
import { shellWord } from '../base/shell.ts';
import { addAppPassword } from '../admin/app-passwords.ts';
import { checkMailbox } from '../check/mailbox.ts';
import type { CheckReport } from '../check/types.ts';
import type { Instance } from '../server/instance.ts';
import { type Mailbox } from '../store/types.ts';
import { PROTOCOLS, type Protocol } from '../store/protocols.ts';
import { stepText } from '../oauth/catalogue/diagnose.ts';
import { programs } from './client-config/programs.ts';
import { protocolsFor, writeConfig } from './client-config/write.ts';
import { fromAnywhere } from './client-config/devices.ts';
import { tenantOf } from '../onboard/register/command.ts';
import { consent, usualProtocols } from './consent.ts';
import type { Context } from './context.ts';
import type { Dialogue } from './dialogue.ts';
import { exitAsFound, tellCheck } from './report.ts';
import { applicationFor, type ApplicationOptions, type Setup } from './setup-application.ts';

export interface SetupOptions extends ApplicationOptions {
  readonly address?: string;
  readonly protocols?: readonly Protocol[];
  readonly flow?: string;
  readonly redirectUri?: string;
  readonly for?: string;
}

/** @throws cli.*, oauth.*, discover.*, store.* */
export async function setUp(
  context: Context,
  dialogue: Dialogue,
  options: SetupOptions,
  installation: Readonly<Record<string, unknown>>,
): Promise<void> {
  await context.withInstance(async (instance) => {
    const address = (options.address ?? (await askAddress(dialogue))).trim().toLowerCase();
    const known = await instance.store.mailboxes.find(address);
    const opened = known ?? (await openMailbox({ context, instance, dialogue, options, address }));
    if (known) context.say(`${known.address} is here already, for ${known.protocols.join(', ')}`);
    const report = await check(context, instance, opened);
    const program = options.for ?? (known && !dialogue.interactive ? undefined : await askProgram(dialogue, opened));
    const client = program === undefined ? undefined : await configure(context, instance, opened, program);
    if (context.json)
      context.result(
        {
          ...installation,
          mailbox: opened.address,
          protocols: opened.protocols,
          check: report,
          client: client ?? null,
        },
        [],
      );
    exitAsFound([report]);
    for (const text of outcomeLines(opened, report)) context.say(text);
  });
}

/** The end of it, below everything else: what came of it, and what to do now. */
function outcomeLines({ address, protocols }: Mailbox, { outcome, first }: CheckReport): readonly string[] {
  const again = `postern check ${shellWord(address)}`;
  if (outcome === 'failed')
    return [
      `${address} does not work yet: ${first!.sentence}`,
      ...first!.remedy.map((step, index) => `${index === 0 ? 'next' : 'then'}: ${stepText(step)}`),
      `when that is done: ${again}; then postern service install`,
    ];
  return [
    `${address} works for ${protocols.join(', ')}${outcome === 'warnings' ? `, with a warning: ${first!.sentence}` : ''}`,
    'next: postern service install, which keeps the gateway running; without systemd: postern serve, and leave it running',
    `whenever something is wrong, and for limits and coming changes of the provider: ${again}`,
  ];
}

function askAddress(dialogue: Dialogue): Promise<string> {
  return dialogue.text(
    {
      question: 'Which mailbox?',
      explanation: 'The address of the first mailbox to open. More can follow at any time: postern mailbox add.',
      option: '--address ADDRESS',
    },
    undefined,
    (text) => (/^[^\s@]+@[^\s@]+$/.test(text.trim()) ? undefined : 'write it as name@domain'),
  );
}

async function openMailbox(setup: Setup<SetupOptions>): Promise<Mailbox> {
  const { context, instance, dialogue, options, address } = setup;
  const application = await applicationFor(setup);
  const wanted =
    options.protocols ??
    (await dialogue.select(
      {
        question: 'Which protocols?',
        explanation: 'Only what is marked is asked for at the provider: a program that only sends needs SMTP alone.',
        option: '--protocols LIST',
      },
      PROTOCOLS.map((value) => ({ value, label: LABELS[value] })),
      [...usualProtocols(application)],
    ));
  const way =
    options.flow ??
    (await askWay(
      dialogue,
      application.credential !== undefined && tenantOf(application.provider, address) !== undefined,
    ));
  const made = await consent(context, instance, {
    application,
    address,
    protocols: wanted,
    way,
    redirectUri: options.redirectUri,
  });
  context.say(`${made.address} is open for ${made.protocols.join(', ')}`);
  return made;
}

const LABELS: Readonly<Record<Protocol, string>> = {
  imap: 'IMAP: read mail, folders stay at the provider',
  pop3: 'POP3: collect mail',
  smtp: 'SMTP: send mail',
};

/** Whether a browser can be opened here, as far as the environment tells. */
function hasBrowser(): boolean {
  if (process.env['POSTERN_NO_BROWSER'] !== undefined) return false;
  return process.platform !== 'linux' || Boolean(process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY']);
}

function askWay(dialogue: Dialogue, credential: boolean): Promise<string> {
  return dialogue.choose(
    {
      question: 'How will you sign in?',
      explanation:
        'The owner of the mailbox signs in at the provider and agrees, once. The password is typed there and nowhere else; here only the resulting grant is kept, sealed.',
      option: '--flow WAY',
    },
    [
      { value: 'browser', label: 'in a browser on this machine' },
      { value: 'paste', label: 'in a browser elsewhere, pasting the address back', hint: 'works everywhere' },
      { value: 'device', label: 'with a code on another device', hint: 'blocked by policy in many organisations' },
      ...(credential
        ? [{ value: 'app-only', label: 'nobody signs in: the application itself', hint: 'needs rights in Exchange' }]
        : []),
    ],
    hasBrowser() ? 'browser' : 'paste',
  );
}

function check(context: Context, instance: Instance, mailbox: Mailbox): Promise<CheckReport> {
  const line = (text: string): void => void (context.json || process.stdout.write(`${asStarted(text)}\n`));
  line(`\nChecking ${mailbox.address}:`);
  return tellCheck({ type: 'mailbox', address: mailbox.address }, checkMailbox(instance, mailbox, {}), line, 'short');
}

function askProgram(dialogue: Dialogue, { protocols }: Mailbox): Promise<string> {
  const fitting = Object.entries(programs).filter(([, one]) =>
    one.protocols.some((protocol) => protocols.includes(protocol)),
  );
  return dialogue.choose(
    {
      question: 'Which mail program?',
      explanation:
        'It gets an app password of its own, shown once, and a configuration to paste. Others later: postern client-config.',
      option: '--for PROGRAM',
    },
    fitting.map(([value, { title }]) => ({ value, label: title })),
    fitting.some(([name]) => name === 'thunderbird') ? 'thunderbird' : fitting[0]![0],
  );
}

interface Configured {
  readonly program: string;
  readonly password: string;
  readonly text: string;
  readonly file: string | null;
  readonly notes: readonly string[];
}

async function configure(context: Context, instance: Instance, mailbox: Mailbox, name: string): Promise<Configured> {
  const program = programs[name]!;
  const { password, row } = await context.perform(instance, addAppPassword, {
    label: program.title,
    mailboxes: [mailbox.address],
    protocols: protocolsFor(program, mailbox, undefined),
  });
  // The one place where it is shown.
  const revealed = password.reveal();
  const { file, lines, ...written } = await writeConfig(instance, mailbox, program, { password: revealed });
  const notes = [...written.notes, ...(program.elsewhere ? fromAnywhere(row) : [])];
  if (!context.json) {
    const where = file === undefined ? '' : ` (${file})`;
    process.stdout.write(
      `${asStarted([`For ${program.title}${where}:`, '', ...lines, '', `App password, shown once: ${revealed}`, ...notes.map((note) => `- ${note}`), ''].join('\n'))}\n`,
    );
  }
  return { program: name, password: revealed, text: `${lines.join('\n')}\n`, file: file ?? null, notes };
}
