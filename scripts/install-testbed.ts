/**
 * The servers and mail programs that the tests talk to, from Debian: what is needed, what is missing, how it is installed.
 * Asks nothing and starts nothing: a policy file keeps apt from starting the system's own mail and database servers.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, existsSync, globSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

interface Need {
  /** Debian package. */
  readonly package: string;
  /** A program on PATH, or a path (pattern) that exists when it is installed. */
  readonly probe: string;
}

const NEEDS: readonly Need[] = [
  { package: 'dovecot-imapd', probe: '/usr/lib/dovecot/imap' },
  { package: 'dovecot-pop3d', probe: '/usr/lib/dovecot/pop3' },
  { package: 'dovecot-lmtpd', probe: '/usr/lib/dovecot/lmtp' },
  { package: 'postfix', probe: '/usr/lib/postfix/sbin/master' },
  // The mechanisms a client inside Postfix signs in with.
  { package: 'libsasl2-modules', probe: '/usr/lib/*/sasl2/libplain.so' },
  { package: 'postgresql', probe: '/usr/lib/postgresql/*/bin/initdb' },
  { package: 'curl', probe: 'curl' },
  { package: 'sqlite3', probe: 'sqlite3' },
  { package: 'systemd', probe: 'systemd-analyze' },
  { package: 'python3', probe: 'python3' },
  { package: 'neomutt', probe: 'neomutt' },
  { package: 'mutt', probe: 'mutt' },
  { package: 'msmtp', probe: 'msmtp' },
  { package: 'swaks', probe: 'swaks' },
  { package: 'isync', probe: 'mbsync' },
  { package: 'getmail6', probe: 'getmail' },
  { package: 'fetchmail', probe: 'fetchmail' },
  { package: 'php-cli', probe: 'php' },
  { package: 'php-imap', probe: '/usr/lib/php/*/imap.so' },
  { package: 'chromium', probe: 'chromium' },
  // Shells whose completion is tested.
  { package: 'zsh', probe: 'zsh' },
  { package: 'fish', probe: 'fish' },
  // For the library that ends processes at an exact point, test/bed/sudden-death.c.
  { package: 'gcc', probe: 'gcc' },
  { package: 'libc6-dev', probe: '/usr/include/stdio.h' },
];

/** Another apt may be at work, as on a machine that has just been started. */
const PATIENT: readonly string[] = ['-o', 'DPkg::Lock::Timeout=300'];

/** Whether the test command sees to a package. A test that asks for another would run, or not, by chance. */
export function isProvided(name: string): boolean {
  return NEEDS.some((need) => need.package === name);
}

/** Debian packages that the tests need and this machine lacks. */
export function missingPackages(): readonly string[] {
  return NEEDS.filter((need) => !present(need.probe)).map((need) => need.package);
}

/** The line a person runs to install `packages` by hand. */
export function installCommand(packages: readonly string[]): string {
  return `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`;
}

/**
 * Installs what is missing, when this is root on Debian. Gives what is still missing afterwards, with the reason.
 * `say` gets one line about what is going on.
 */
export function installTestbed(say: (line: string) => void): { missing: readonly string[]; reason: string } {
  const missing = missingPackages();
  if (missing.length === 0) return { missing, reason: '' };
  const reason = cannotInstall();
  if (reason) return { missing, reason };
  say(`installing ${missing.join(', ')} from Debian (once, about a minute)`);
  const policy = withholdServices();
  try {
    if (missing.includes('postfix')) {
      run('debconf-set-selections', [], 'postfix postfix/main_mailer_type select No configuration\n');
    }
    const updated = run('apt-get', [...PATIENT, 'update', '-qq']);
    const installed = run('apt-get', [...PATIENT, 'install', '-y', '-qq', '--no-install-recommends', ...missing]);
    const left = missingPackages();
    return { missing: left, reason: left.length > 0 ? (installed ?? updated ?? 'apt-get ended without an error') : '' };
  } finally {
    policy.restore();
  }
}

function present(probe: string): boolean {
  if (probe.startsWith('/')) return probe.includes('*') ? globSync(probe).length > 0 : existsSync(probe);
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin'];
  return folders.some((folder) => folder !== '' && executable(join(folder, probe)));
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}

function cannotInstall(): string | undefined {
  if (!existsSync('/etc/debian_version') || !present('apt-get')) return 'this is not Debian';
  return process.getuid?.() === 0 ? undefined : 'only root can install packages';
}

/** Debian asks policy-rc.d before it starts a service after installing; 101 means no (invoke-rc.d(8)). */
function withholdServices(): { restore(): void } {
  const file = '/usr/sbin/policy-rc.d';
  if (existsSync(file)) return { restore() {} };
  writeFileSync(file, '#!/bin/sh\nexit 101\n');
  chmodSync(file, 0o755);
  return { restore: () => rmSync(file, { force: true }) };
}

/** Runs a command quietly; gives what it said when it failed. */
function run(command: string, args: readonly string[], input = ''): string | undefined {
  const done = spawnSync(command, args, {
    input,
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'a', LC_ALL: 'C.UTF-8' },
  });
  if (done.status === 0) return undefined;
  const said = (done.stderr || done.stdout || String(done.error)).trim().split('\n').slice(-8).join('\n');
  return `${command} ${args[0] ?? ''} failed:\n${said}`;
}
