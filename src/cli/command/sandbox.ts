/** `postern sandbox`: the emulated tenant, and with --gateway the whole demonstration. */
import { isError, PosternError } from '../../base/error.ts';
import { shellWord } from '../../base/shell.ts';
import type { ListenerConfig } from '../../gateway/types.ts';
import type { Sandbox } from '../../sandbox/index.ts';
import { openLog } from '../../server/log.ts';
import { asStarted, COMMAND } from '../command-name.ts';
import type { Demonstration } from '../demonstration.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';
import { between } from '../value.ts';
import { PROTOCOLS } from '../../store/protocols.ts';
import { clock, fault } from './sandbox-control.ts';
import { untilStopped } from './serve.ts';

interface SandboxOptions {
  readonly gateway?: boolean;
  readonly port?: number;
  readonly dir?: string;
}

export function sandbox(): Subcommand {
  return new Subcommand(
    'sandbox',
    'an emulated Microsoft tenant on this machine: authority, IMAP, POP3, SMTP, Graph, sample mail',
  )
    .option('--gateway', 'also a configured gateway with mailboxes and an app password')
    .option('--port <n>', '0: free ports instead of the default ones', between(0, 65_535))
    .option('--dir <folder>', 'keep certificates and keys there (default: a temporary folder)')
    .remark('With --json the first line on standard output is one JSON object, printed when everything listens.')
    .example('postern sandbox --gateway', 'postern sandbox --json --port 0')
    .addCommands(fault(), clock())
    .run(async (context, options: SandboxOptions) => {
      // Loaded here and not above: no other command needs the tenant.
      const { defaultPorts, startSandbox } = await import('../../sandbox/index.ts');
      const { startDemonstration } = await import('../demonstration.ts');
      if (options.port !== undefined && options.port !== 0) {
        throw cliError('cli.usage', 'only --port 0 (free ports) can be given', {
          hint: `the default ports are ${Object.values(defaultPorts).join(', ')} and those of the gateway`,
        });
      }
      const free = options.port === 0;
      let demonstration: Demonstration | undefined;
      const log = openLog({ level: 'warn', format: 'auto' }, undefined, (text) =>
        asStarted(text, { command: COMMAND, home: demonstration?.home }),
      );
      const tenant = await startSandbox({
        ports: free ? {} : defaultPorts,
        log,
        ...(options.dir === undefined ? {} : { dir: options.dir }),
      }).catch((error: unknown) => {
        throw withFreePorts(error, free);
      });
      try {
        if (options.gateway === true) {
          demonstration = await startDemonstration(tenant, {
            freePorts: free,
            log,
            ...(context.options.home === undefined ? {} : { home: context.options.home }),
          });
        }
        if (context.json) process.stdout.write(`${JSON.stringify(factsOf(tenant, demonstration))}\n`);
        else process.stdout.write(`${(demonstration ? tour(tenant, demonstration) : overview(tenant)).join('\n')}\n`);
        await untilStopped(
          {
            reload: () => undefined,
            async stop() {
              await demonstration?.stop();
              demonstration = undefined;
            },
          },
          log,
        );
      } catch (error) {
        throw withFreePorts(error, free);
      } finally {
        await demonstration?.stop();
        await tenant.close();
        log.flush();
      }
    });
}

/** Ports that are taken: the command that was typed, with free ones. */
export function withFreePorts(
  error: unknown,
  free: boolean,
  args: readonly string[] = process.argv.slice(2),
  script = process.env['npm_lifecycle_event'],
): unknown {
  if (free || !isError(error) || !error.code.endsWith('.port-taken')) return error;
  // `npm start` gives the first two itself.
  const typed = script === 'start' ? ['npm start --', ...args.slice(2)] : [COMMAND, ...args.map(shellWord)];
  const hint = `stop the program that uses the port (ss -ltnp shows it), or use free ports: ${[...typed, '--port 0'].join(' ')}`;
  const { code, kind, detail, message, cause } = error;
  return new PosternError(code, { kind, hint }, message, { detail, cause });
}

/** The documented first line of --json. */
function factsOf(tenant: Sandbox, demonstration: Demonstration | undefined): Record<string, unknown> {
  const facts = {
    authority: tenant.authority,
    ca: tenant.caPath,
    tenant: tenant.mail,
    graph: tenant.graph,
    metadata: tenant.metadataOrigin,
    control: tenant.control,
    clients: { public: tenant.clients.public, confidential: tenant.clients.confidential },
  };
  if (!demonstration) return { ...facts, mailboxes: tenant.users.map(({ address }) => ({ address })) };
  return {
    ...facts,
    gateway: Object.fromEntries(
      demonstration.listeners.map((one) => [nameOf(one), { host: one.host, port: one.port }]),
    ),
    console: { host: '127.0.0.1', port: demonstration.consolePort },
    home: demonstration.home,
    mailboxes: demonstration.addresses.map((address) => ({ address, password: demonstration.password.reveal() })),
  };
}

const nameOf = ({ protocol, tls }: ListenerConfig): string => (tls === 'implicit' ? `${protocol}s` : protocol);

function overview(tenant: Sandbox): readonly string[] {
  const { imap, pop3, smtp } = tenant.mail;
  return [
    'The sandbox tenant contoso.test is up. It accepts OAuth only.',
    '',
    `  authority  ${tenant.authority}`,
    `  CA         ${tenant.caPath}`,
    `  Graph      ${tenant.graph}/v1.0`,
    `  IMAP       ${imap.host}:${imap.port} (TLS)     POP3  ${pop3.host}:${pop3.port} (TLS)     SMTP  ${smtp.host}:${smtp.port} (STARTTLS)`,
    `  people     ${tenant.users.map(({ address }) => address).join(', ')}; shared: ${tenant.shared}`,
    `  client id  ${tenant.clients.public.id} (public)`,
    `  control    ${tenant.control} (postern sandbox fault list, postern sandbox clock advance 1h)`,
    '',
    'Add --gateway for a gateway with an app password in front of it. Ctrl-C ends it.',
  ];
}

/** Lines that work when pasted. */
function tour(tenant: Sandbox, { listeners, password, home, consolePort }: Demonstration): readonly string[] {
  const at = (name: string): string => {
    const found = listeners.find((one) => nameOf(one) === name)!;
    return `${found.host}:${found.port}`;
  };
  const [host, imapPort] = at('imap').split(':');
  const alice = tenant.users[0]!.address;
  const bob = tenant.users[1]!.address;
  const secret = password.reveal();
  const url = (scheme: string, address: string): string =>
    `${scheme}://${alice.replace('@', '%40')}:${secret}@${address}`;
  return [
    'Postern is up: a gateway in front of an emulated Microsoft tenant that accepts OAuth only.',
    'Mail programs need nothing but a user name and this app password:',
    '',
    `  user name     ${alice}   (or ${bob}, ${tenant.shared})`,
    `  app password  ${secret}`,
    '',
    '  protocol  plain or STARTTLS   TLS',
    ...PROTOCOLS.map((name) => `  ${name.toUpperCase().padEnd(8)}  ${at(name).padEnd(18)}  ${at(`${name}s`)}`),
    '',
    'Read the sample mail with curl:',
    '',
    `  curl "${url('imap', at('imap'))}/INBOX;MAILINDEX=1"`,
    '',
    'the same over TLS, verified:',
    '',
    `  curl --cacert ${tenant.caPath} "${url('imaps', at('imaps').replace('127.0.0.1', 'localhost'))}/INBOX;MAILINDEX=1"`,
    '',
    'Send some, and see it arrive:',
    '',
    `  printf 'From: ${alice}\\nTo: ${bob}\\nSubject: hello\\n\\nIt works.\\n' | curl --crlf -T - --mail-from ${alice} --mail-rcpt ${bob} "${url('smtp', at('smtp'))}"`,
    `  curl "${url('imap', at('imap')).replace(alice.replace('@', '%40'), bob.replace('@', '%40'))}/INBOX;MAILINDEX=*"`,
    '',
    'With a mail program:',
    '',
    `  neomutt -n -F /dev/null -e 'set folder=imap://${at('imap')}/ imap_user=${alice} imap_pass=${secret} ssl_starttls=no ssl_force_tls=no smtp_url=smtp://${alice}@${at('smtp')}/ smtp_pass=${secret} smtp_authenticators=plain from=${alice} use_from=yes' -f imap://${at('imap')}/INBOX`,
    `  Thunderbird and others: IMAP server ${host}, port ${imapPort}, no encryption, normal password`,
    '',
    `Make it fail: ${COMMAND} sandbox fault set imap-throttled --times 1 --control ${tenant.control}`,
    `See why: ${COMMAND} --home ${shellWord(home)} check ${alice}`,
    `More: metrics at http://127.0.0.1:${consolePort}/metrics, and what happened: ${COMMAND} --home ${shellWord(home)} audit show`,
    `Commands that a mail program or the log names go to this installation with --home ${shellWord(home)}, as above.`,
    'Ctrl-C ends it.',
  ];
}
