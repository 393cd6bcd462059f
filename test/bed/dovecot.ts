/**
 * A private Dovecot 2.3 whose mailboxes open with OAuth tokens of a given authority (and, for the bed's own checks, with
 * plain passwords): IMAP, POP3, LMTP and SASL for Postfix. Runs as root (services drop to dovecot) or as any user.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { userInfo } from 'node:os';
import type { Certificates } from './certificates.ts';
import { type Daemon, listening, privateFolder, startDaemon, withFreePorts } from './process.ts';

/** How Dovecot asks whether a token is good: RFC 7662 at the authority, or the JWT's signature by itself. */
export type TokenCheck =
  | {
      readonly type: 'introspection';
      readonly url: string;
      readonly clientId: string;
      readonly clientSecret: string;
      readonly caPem: string;
    }
  | {
      readonly type: 'jwt';
      readonly issuer: string;
      /** Signing keys as SPKI PEM. */
      readonly keys: readonly { readonly kid: string; readonly alg: string; readonly pem: string }[];
      /** Values of `azp` the tokens carry; Dovecot looks for keys in a folder of that name. */
      readonly clientIds: readonly string[];
      /** Scopes a token must have, all of them, per protocol. */
      readonly scopes: { readonly imap: string; readonly pop3: string; readonly smtp: string };
    };

export interface DovecotOptions {
  readonly certificates: Certificates;
  readonly users: readonly { readonly address: string; readonly password?: string }[];
  readonly tokens: TokenCheck;
  /** SASL mechanisms offered. */
  readonly mechanisms?: readonly string[];
}

export interface Dovecot {
  readonly ports: Readonly<Record<'imap' | 'imaps' | 'pop3' | 'pop3s' | 'lmtp' | 'sasl', number>>;
  /** Puts one message into a mailbox, as is. */
  deliver(address: string, message: string | Buffer, folder?: string): void;
  /** Removes all messages of INBOX, Archive, Sent and Trash. */
  clear(address: string): void;
  /** Messages in a folder as the server stores them, oldest first. */
  messages(address: string, folder?: string): readonly StoredMessage[];
  /** Ends the sessions of a user, as a provider does when a token has run out. */
  kick(address: string): void;
  /** The server's own log so far. */
  log(): string;
  stop(): Promise<void>;
}

/** A message as it lies on the server's disk, CRLF line ends. */
export interface StoredMessage {
  readonly flags: readonly string[];
  readonly body: Buffer;
}

export function startDovecot(options: DovecotOptions): Promise<Dovecot> {
  return withFreePorts(6, (ports) => start(options, ports));
}

async function start(options: DovecotOptions, [imap, imaps, pop3, pop3s, lmtp, sasl]: number[]): Promise<Dovecot> {
  const ports = { imap: imap!, imaps: imaps!, pop3: pop3!, pop3s: pop3s!, lmtp: lmtp!, sasl: sasl! };
  const folder = privateFolder();
  writeConfiguration(folder.path, options, ports);
  const conf = join(folder.path, 'dovecot.conf');
  const logFile = join(folder.path, 'dovecot.log');
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const daemon: Daemon = startDaemon('/usr/sbin/dovecot', ['-F', '-c', conf], { env: { PATH: process.env.PATH } });
  const stop = async (): Promise<void> => {
    // An orderly stop takes Dovecot 2.5 s; when the master is killed its children end at once.
    await daemon.stop(200);
    folder.remove();
  };
  const maildirOf = (address: string): string => join(folder.path, 'mail', address, 'Maildir');
  const doveadm = (args: readonly string[], input: string | Buffer = ''): void => {
    const done = spawnSync('doveadm', ['-c', conf, ...args], { input, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`doveadm ${args.join(' ')}: ${done.stderr ?? String(done.error)}\n${log()}`);
  };
  try {
    await listening(daemon, Object.values(ports), 15_000, () => daemon.output() + log());
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ports,
    deliver: (address, message, into = 'INBOX') => doveadm(['save', '-u', address, '-m', into], message),
    clear(address) {
      // Looking first: doveadm is a process each time, and most of them are empty.
      for (const from of ['INBOX', 'Archive', 'Sent', 'Trash'])
        if (readMaildir(maildirOf(address), from).length > 0)
          doveadm(['expunge', '-u', address, 'mailbox', from, 'ALL']);
    },
    messages: (address, from = 'INBOX') => readMaildir(maildirOf(address), from),
    kick: (address) => doveadm(['kick', address]),
    log,
    stop,
  };
}

/** The messages of a Maildir++ folder, oldest first, with the flags that file names carry (`:2,FS`). */
function readMaildir(maildir: string, from: string): StoredMessage[] {
  const base = from === 'INBOX' ? maildir : join(maildir, `.${from}`);
  return ['cur', 'new']
    .flatMap((part) =>
      (existsSync(join(base, part)) ? readdirSync(join(base, part)) : []).map((name) => join(base, part, name)),
    )
    .map((path) => ({ path, name: basename(path) }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ path, name }) => ({ flags: flagsOf(name), body: readFileSync(path) }));
}

const FLAG_LETTERS: Readonly<Record<string, string>> = {
  S: '\\Seen',
  F: '\\Flagged',
  R: '\\Answered',
  T: '\\Deleted',
  D: '\\Draft',
};

function flagsOf(name: string): string[] {
  return Array.from(name.split(':2,')[1] ?? '').flatMap((letter) => FLAG_LETTERS[letter] ?? []);
}

/** Writes everything under `root`. */
function writeConfiguration(root: string, options: DovecotOptions, ports: Dovecot['ports']): void {
  const asRoot = process.getuid?.() === 0;
  const user = asRoot ? 'dovecot' : userInfo().username;
  const group = asRoot ? 'dovecot' : spawnSync('id', ['-gn'], { encoding: 'utf8' }).stdout.trim();
  for (const name of ['run', 'state', 'mail', 'keys']) mkdirSync(join(root, name));
  if (asRoot) {
    const [uid, gid] = ['-u', '-g'].map((flag) =>
      Number(spawnSync('id', [flag, 'dovecot'], { encoding: 'utf8' }).stdout),
    );
    chownSync(join(root, 'mail'), uid!, gid!);
    chmodSync(root, 0o755);
  }
  writeFileSync(
    join(root, 'users'),
    options.users
      .map(({ address, password }) => `${address}:${password ? `{PLAIN}${password}` : '!'}::::::\n`)
      .join(''),
  );
  writeFileSync(join(root, 'ca.pem'), options.tokens.type === 'introspection' ? options.tokens.caPem : '');
  const passdbs = tokenPassdbs(root, options.tokens);
  writeFileSync(join(root, 'dovecot.conf'), configuration(root, options, ports, { user, group, asRoot }, passdbs));
}

/** The `oauth2` passdbs and the files they name. With JWTs each protocol wants its own scope. */
function tokenPassdbs(root: string, tokens: TokenCheck): string {
  const passdb = (file: string): string => `passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  default_fields = nodelay=yes
  args = ${file}
}`;
  if (tokens.type === 'introspection') {
    const file = join(root, 'introspection.conf.ext');
    writeFileSync(
      file,
      `introspection_mode = post
introspection_url = ${tokens.url}
client_id = ${tokens.clientId}
client_secret = ${tokens.clientSecret}
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = email
tls_ca_cert_file = ${root}/ca.pem
timeout_msecs = 5000
`,
    );
    return passdb(file);
  }
  // Path of a key: <prefix><azp or "default">/<alg>/<kid>.
  for (const client of ['default', ...tokens.clientIds])
    for (const key of tokens.keys) {
      mkdirSync(join(root, 'keys', client, key.alg), { recursive: true });
      writeFileSync(join(root, 'keys', client, key.alg, key.kid), key.pem);
    }
  return (['imap', 'pop3', 'smtp'] as const)
    .map((protocol) => {
      const file = join(root, `jwt-${protocol}.conf.ext`);
      writeFileSync(
        file,
        `introspection_mode = local
local_validation_key_dict = fs:posix:prefix=${root}/keys/
issuers = ${tokens.issuer}
username_attribute = email
scope = ${tokens.scopes[protocol]}
`,
      );
      return `protocol ${protocol} {\n${passdb(file)}\n}`;
    })
    .join('\n');
}

function configuration(
  root: string,
  options: DovecotOptions,
  ports: Dovecot['ports'],
  run: { user: string; group: string; asRoot: boolean },
  passdbs: string,
): string {
  const { certPath, keyPath } = options.certificates;
  const mechanisms = options.mechanisms ?? ['plain', 'login', 'xoauth2', 'oauthbearer'];
  const inet = (name: string, port: number, ssl = false): string =>
    `inet_listener ${name} {\n    address = 127.0.0.1\n    port = ${port}${ssl ? '\n    ssl = yes' : ''}\n  }`;
  // Private paths and empty chroots let it run as an ordinary user; auth-penalty off, or failures slow every later sign-in.
  return `base_dir = ${root}/run
state_dir = ${root}/state
instance_name = postern-test
log_path = ${root}/dovecot.log
auth_verbose = yes
auth_failure_delay = 0 secs
protocols = imap pop3 lmtp
listen = 127.0.0.1
default_internal_user = ${run.user}
default_internal_group = ${run.group}
default_login_user = ${run.asRoot ? 'dovenull' : run.user}
first_valid_uid = 1
mail_uid = ${run.user}
mail_gid = ${run.group}
mail_location = maildir:~/Maildir
mail_home = ${root}/mail/%u
mail_save_crlf = yes
mail_max_userip_connections = 100
ssl = required
ssl_cert = <${certPath}
ssl_key = <${keyPath}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = ${mechanisms.join(' ')}
passdb {
  driver = passwd-file
  default_fields = nodelay=yes
  args = scheme=PLAIN username_format=%u ${root}/users
  mechanisms = plain login
}
${passdbs}
userdb {
  driver = passwd-file
  args = username_format=%u ${root}/users
  default_fields = uid=${run.user} gid=${run.group} home=${root}/mail/%u
}
namespace inbox {
  inbox = yes
  mailbox Sent {
    auto = create
    special_use = \\Sent
  }
  mailbox Archive {
    auto = create
    special_use = \\Archive
  }
  mailbox Trash {
    auto = create
    special_use = \\Trash
  }
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
  unix_listener stats-writer {
    mode = 0666
  }
}
service imap-login {
  chroot =
  ${inet('imap', ports.imap)}
  ${inet('imaps', ports.imaps, true)}
}
service pop3-login {
  chroot =
  ${inet('pop3', ports.pop3)}
  ${inet('pop3s', ports.pop3s, true)}
}
service lmtp {
  ${inet('lmtp', ports.lmtp)}
}
service auth {
  ${inet('sasl', ports.sasl)}
}
`;
}
