/** The systemd unit of one installation, as text. Syntax: systemd.syntax(7), systemd.service(5), systemd.exec(5). */
import { pathToFileURL } from 'node:url';

export interface UnitSpec {
  /** `system`: started by the machine. `user`: by the service manager of one user. */
  readonly scope: 'system' | 'user';
  /** Whom the system unit runs as: the owner of the state. */
  readonly user: string | undefined;
  /** The command and its arguments, absolute. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Folders it writes to: state, and the database where that is elsewhere. */
  readonly writes: readonly string[];
  /** Where the master key comes from, as `NAME:/path`. */
  readonly credential: string | undefined;
  /** A file that says how it is run. */
  readonly documentation: string;
  /** How long an orderly stop may take, in seconds. */
  readonly stopSeconds: number;
}

/** The text of the unit. The same facts give the same text, so that installing twice changes nothing. */
export function unitText(spec: UnitSpec): string {
  const system = spec.scope === 'system';
  const environment = Object.entries(spec.environment).map(
    ([name, value]) => `Environment=${quoted(`${name}=${value}`)}`,
  );
  return `${[
    `# Postern as a service of systemd 250 or later, made by: postern service install${system ? ' --system' : ''}`,
    '# Changes belong into a drop-in (systemctl edit), because installing again writes this file again.',
    '[Unit]',
    'Description=Postern, the gate to OAuth-only mailboxes',
    // systemd expands specifiers, which begin with a percent sign (systemd.unit(5)).
    `Documentation=${pathToFileURL(spec.documentation).href.replaceAll('%', '%%')}`,
    '# What passes by itself (exit code 75: a full disk, a certificate half replaced, a database away) is tried for as long as it lasts.',
    'StartLimitIntervalSec=0',
    ...(system ? ['Wants=network-online.target', 'After=network-online.target postgresql.service'] : []),
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${spec.command.map(argument).join(' ')}`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    'Restart=on-failure',
    'RestartSec=5',
    '# limits.drainMs and a little.',
    `TimeoutStopSec=${spec.stopSeconds}`,
    '# The primary tells its workers; a signal to all of them would cut sessions short.',
    'KillMode=mixed',
    '# A wrong setting, a taken port or another server on this database does not pass by itself.',
    'RestartPreventExitStatus=64',
    'LimitNOFILE=65536',
    '# A core dump holds tokens and the master key.',
    'LimitCORE=0',
    'UMask=0077',
    'NoNewPrivileges=yes',
    '',
    ...environment,
    ...(spec.credential === undefined
      ? []
      : ['# The master key, readable by this service only.', `LoadCredential=${spec.credential}`]),
    ...(system ? hardening(spec) : []),
    '',
    '[Install]',
    `WantedBy=${system ? 'multi-user.target' : 'default.target'}`,
  ].join('\n')}\n`;
}

function hardening({ user, writes }: UnitSpec): readonly string[] {
  return [
    '',
    ...(user === undefined ? [] : [`User=${user}`]),
    '# Compiled code, for faster starts.',
    'CacheDirectory=postern',
    'CacheDirectoryMode=0700',
    '# Ports below 1024.',
    'AmbientCapabilities=CAP_NET_BIND_SERVICE',
    'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
    '# Everything is read-only but the state.',
    'ProtectSystem=strict',
    'ProtectHome=read-only',
    ...writes.map((path) => `ReadWritePaths=${quoted(path)}`),
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'ProtectKernelTunables=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'ProtectControlGroups=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    'ProtectProc=invisible',
    'RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX',
    'RestrictNamespaces=yes',
    'RestrictRealtime=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'RemoveIPC=yes',
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@privileged @resources',
    '# No MemoryDenyWriteExecute: V8 compiles at run time.',
  ];
}

/** What {@link unitText} or another writer of units put in. */
export interface UnitFacts {
  readonly home: string | undefined;
  readonly config: string | undefined;
  readonly user: string | undefined;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads what matters here: which installation a unit serves, as whom, and by which command. */
export function parseUnit(text: string): UnitFacts {
  const lines = text.split('\n');
  const values = (key: string): readonly string[] =>
    lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
  const environment = Object.fromEntries(
    values('Environment')
      .flatMap(words)
      .map((pair): [string, string] => {
        const at = pair.indexOf('=');
        return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
      }),
  );
  const folder = (path: string | undefined): string | undefined =>
    // %S of the system's manager, systemd.unit(5).
    path?.replace(/^%S(?=\/)/, '/var/lib').replaceAll('%%', '%');
  return {
    home: folder(environment['POSTERN_HOME']),
    config: folder(environment['POSTERN_CONFIG']),
    user: values('User').at(-1),
    command: words(values('ExecStart').at(-1) ?? '').map((word) => word.replaceAll('$$', '$').replaceAll('%%', '%')),
    environment: Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [name, value.replaceAll('%%', '%')]),
    ),
  };
}

/** A word as systemd reads it; percent signs would be specifiers. */
function quoted(text: string): string {
  const plain = text.replaceAll('%', '%%');
  return /^[\w@+=:,./%-]+$/.test(plain) ? plain : `"${plain.replace(/["\\]/g, String.raw`\$&`)}"`;
}

/** A word of a command line, where `$` begins a variable besides. */
const argument = (text: string): string => quoted(text.replaceAll('$', '$$$$'));

function words(text: string): readonly string[] {
  const found: string[] = [];
  let word: string | undefined;
  let open: string | undefined;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === '\\' && at + 1 < text.length) word = (word ?? '') + text[++at]!;
    else if (open !== undefined) {
      if (character === open) open = undefined;
      else word = (word ?? '') + character;
    } else if (character === '"' || character === "'") {
      open = character;
      word ??= '';
    } else if (character === ' ' || character === '\t') {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? '') + character;
  }
  if (word !== undefined) found.push(word);
  return found;
}
