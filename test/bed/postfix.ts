/**
 * A private Postfix for submission: STARTTLS and implicit TLS, sign-in through Dovecot's SASL (so OAuth tokens work), mail
 * for contoso.test delivered into Dovecot over LMTP, nothing else leaves. Needs root, as Postfix's master does.
 *
 * Postfix reads commands of at most 2,048 octets (`line_length_limit`): a longer `AUTH XOAUTH2 <initial response>` is cut
 * and refused, so whoever signs in with a long token must send it as a continuation (RFC 4954 §4).
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificates } from './certificates.ts';
import { listening, privateFolder, startDaemon, withFreePorts } from './process.ts';

export interface PostfixOptions {
  readonly certificates: Certificates;
  /** Addresses that may send, each as itself. */
  readonly users: readonly string[];
  /** Dovecot's ports for sign-in and delivery. */
  readonly sasl: number;
  readonly lmtp: number;
  /** Lets people sign in without TLS, to try mail programs on this server itself. */
  readonly insecurePlain?: boolean;
  /** More lines for main.cf, e.g. `smtputf8_enable = no`. */
  readonly settings?: readonly string[];
}

export interface Postfix {
  readonly ports: Readonly<Record<'submission' | 'smtps', number>>;
  /** Folder of main.cf, for commands that configure it further (MAIL_CONFIG). */
  readonly etc: string;
  log(): string;
  /** Messages it has taken and not passed on yet. */
  queued(): number;
  stop(): Promise<void>;
}

/** Room for 25 MB of attachment in base64 with a margin. */
const MESSAGE_OCTETS = 64 * 2 ** 20;

export function startPostfix(options: PostfixOptions): Promise<Postfix> {
  return withFreePorts(2, (ports) => start(options, { submission: ports[0]!, smtps: ports[1]! }));
}

async function start(options: PostfixOptions, ports: Postfix['ports']): Promise<Postfix> {
  const folder = privateFolder();
  chmodSync(folder.path, 0o755);
  writeConfiguration(folder.path, options, ports);
  const etc = join(folder.path, 'etc');
  const logFile = join(folder.path, 'mail.log');
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const daemon = startDaemon('/usr/sbin/postfix', ['-c', etc, 'start-fg'], { env: { PATH: process.env.PATH } });
  const stop = async (): Promise<void> => {
    spawnSync('/usr/sbin/postfix', ['-c', etc, 'stop'], { stdio: 'ignore', timeout: 5000 });
    await daemon.stop(1000);
    folder.remove();
  };
  try {
    await listening(daemon, Object.values(ports), 20_000, () => daemon.output() + log());
  } catch (error) {
    await stop();
    throw error;
  }
  const queued = (): number =>
    globSync(join(folder.path, 'spool/{maildrop,incoming,active,deferred}/**'), { withFileTypes: true }).filter((one) =>
      one.isFile(),
    ).length;
  return { ports, etc, log, queued, stop };
}

function writeConfiguration(root: string, options: PostfixOptions, ports: Postfix['ports']): void {
  for (const name of ['etc', 'data', 'spool']) mkdirSync(join(root, name));
  const uid = Number(spawnSync('id', ['-u', 'postfix'], { encoding: 'utf8' }).stdout);
  chownSync(join(root, 'data'), uid, 0);
  for (const name of [
    'dynamicmaps.cf',
    'dynamicmaps.cf.d',
    'postfix-files',
    'postfix-files.d',
    'postfix-script',
    'post-install',
  ])
    if (existsSync(join('/etc/postfix', name)))
      cpSync(join('/etc/postfix', name), join(root, 'etc', name), { recursive: true, dereference: true });
  const { certPath, keyPath } = options.certificates;
  const defaults = `compatibility_level = 3.6
queue_directory = ${root}/spool
data_directory = ${root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = ${root}/mail.log
maillog_file_prefixes = ${root}
myhostname = mail.contoso.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
alias_database =
local_transport = error:no local delivery
default_transport = error:5.7.1 outbound mail is disabled in the test bed
virtual_mailbox_domains = contoso.test
virtual_transport = lmtp:inet:127.0.0.1:${options.lmtp}
smtpd_tls_cert_file = ${certPath}
smtpd_tls_key_file = ${keyPath}
smtpd_tls_auth_only = ${options.insecurePlain ? 'no' : 'yes'}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${options.sasl}
smtpd_sasl_security_options = noanonymous
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sender_login_maps = inline:{ ${options.users.map((user) => `{${user}=${user}}`).join(', ')} }
smtpd_sender_restrictions = reject_sender_login_mismatch
message_size_limit = ${MESSAGE_OCTETS}
mailbox_size_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_auth_rate_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 100
smtpd_hard_error_limit = 200
`;
  // A setting replaces the line above: Postfix warns of every double one, and its logger would wait for itself.
  const settings = options.settings ?? [];
  const nameOf = (line: string): string => line.split('=')[0]!.trim();
  const own = new Set(settings.map(nameOf));
  const kept = defaults.split('\n').filter((line) => !own.has(nameOf(line)));
  writeFileSync(join(root, 'etc/main.cf'), `${[...kept, ...settings].join('\n')}\n`);
  writeFileSync(
    join(root, 'etc/master.cf'),
    `127.0.0.1:${ports.submission} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=${options.insecurePlain ? 'may' : 'encrypt'}
127.0.0.1:${ports.smtps} inet n - n - - smtpd
  -o syslog_name=postfix/smtps
  -o smtpd_tls_wrappermode=yes
${SERVICES.map((row) => row.join(' ')).join('\n')}
postlog unix-dgram n - n - 1 postlogd
`,
  );
}

/** The rest of Debian's master.cf: name, type, private, unprivileged, chroot, wake-up, limit, program. */
const SERVICES: readonly (readonly string[])[] = [
  ['pickup', 'unix', 'n', '-', 'n', '60', '1', 'pickup'],
  ['cleanup', 'unix', 'n', '-', 'n', '-', '0', 'cleanup'],
  ['qmgr', 'unix', 'n', '-', 'n', '300', '1', 'qmgr'],
  ['tlsmgr', 'unix', '-', '-', 'n', '1000?', '1', 'tlsmgr'],
  ['rewrite', 'unix', '-', '-', 'n', '-', '-', 'trivial-rewrite'],
  ['bounce', 'unix', '-', '-', 'n', '-', '0', 'bounce'],
  ['defer', 'unix', '-', '-', 'n', '-', '0', 'bounce'],
  ['trace', 'unix', '-', '-', 'n', '-', '0', 'bounce'],
  ['verify', 'unix', '-', '-', 'n', '-', '1', 'verify'],
  ['flush', 'unix', 'n', '-', 'n', '1000?', '0', 'flush'],
  ['proxymap', 'unix', '-', '-', 'n', '-', '-', 'proxymap'],
  ['proxywrite', 'unix', '-', '-', 'n', '-', '1', 'proxymap'],
  ['smtp', 'unix', '-', '-', 'n', '-', '-', 'smtp'],
  ['relay', 'unix', '-', '-', 'n', '-', '-', 'smtp'],
  ['showq', 'unix', 'n', '-', 'n', '-', '-', 'showq'],
  ['error', 'unix', '-', '-', 'n', '-', '-', 'error'],
  ['retry', 'unix', '-', '-', 'n', '-', '-', 'error'],
  ['discard', 'unix', '-', '-', 'n', '-', '-', 'discard'],
  ['lmtp', 'unix', '-', '-', 'n', '-', '-', 'lmtp'],
  ['anvil', 'unix', '-', '-', 'n', '-', '1', 'anvil'],
  ['scache', 'unix', '-', '-', 'n', '-', '1', 'scache'],
];
