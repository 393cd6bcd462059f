/** The configuration of one program for one mailbox, with what would make it fail said before it is tried. */
import { existsSync, statSync } from 'node:fs';
import { hostname as machineName } from 'node:os';
import { dirname } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { shellWord } from '../../base/shell.ts';
import { checkPair, covers, namesOf } from '../../protocol/tls/pair.ts';
import { type CertificateFiles, readCertificate } from '../../server/certificate-in-use.ts';
import { certificateFiles, certificateNames } from '../../server/certificate.ts';
import { trustTrouble } from '../../server/local-authority.ts';
import { DEFAULT_LISTENERS, listenersYaml } from '../../server/config-listeners.ts';
import { isLoopback } from '../../server/config-value.ts';
import type { Config } from '../../server/config.ts';
import type { Instance } from '../../server/instance.ts';
import { rowOf } from '../../store/table/mailboxes.ts';
import type { Mailbox } from '../../store/types.ts';
import { PROTOCOLS, type Protocol } from '../../store/protocols.ts';
import { cliError } from '../errors.ts';
import type { MailProgram } from './programs.ts';
import { plannedListeners } from './devices.ts';
import { type ClientConfig, type Door, doorsOf, isElsewhere, type Security } from './settings.ts';

export interface WriteOptions {
  readonly password: string;
  readonly security?: Security;
  /** Name that the program uses for this machine. */
  readonly host?: string;
  /** Where the program finds the CA, when that is a copy. */
  readonly caFile?: string;
  /** What it is set up for; default: what it uses. */
  readonly protocols?: readonly Protocol[];
}

type Opened = Pick<Mailbox, 'address' | 'catchAll' | 'protocols'>;

/** What a program is set up for, and its app password with it. @throws cli.usage when mailbox and program have none in common */
export function protocolsFor(
  program: MailProgram,
  mailbox: Opened,
  asked: readonly Protocol[] | undefined,
): readonly Protocol[] {
  const open = (protocols: readonly Protocol[]): readonly Protocol[] =>
    protocols.filter((protocol) => mailbox.protocols.includes(protocol));
  const all = program.protocols.join(' or ');
  const unknown = asked?.find((protocol) => !program.protocols.includes(protocol));
  if (unknown !== undefined)
    throw cliError('cli.usage', `${program.title} does not use ${unknown}`, { hint: `choose from ${all}` });
  const closed = asked?.find((protocol) => !mailbox.protocols.includes(protocol));
  const usual = open(asked ?? program.usual ?? program.protocols);
  const found = usual.length > 0 ? usual : open(program.protocols);
  if (found.length > 0 && closed === undefined) return found;
  throw cliError(
    'cli.usage',
    `${program.title} needs ${closed ?? all}, and ${mailbox.address} is open for ${mailbox.protocols.join(', ')}`,
    {
      hint: `open it for more: postern mailbox reconsent ${shellWord(rowOf(mailbox))} --protocols ${[...new Set([...mailbox.protocols, ...(asked ?? program.protocols)])].join(',')}`,
    },
  );
}

/** @throws cli.usage when mailbox, program and gateway have no protocol in common, or the CA is not there */
export async function writeConfig(
  { config: written }: Pick<Instance, 'config'>,
  mailbox: Opened,
  program: MailProgram,
  options: WriteOptions,
): Promise<ClientConfig> {
  const wanted = protocolsFor(program, mailbox, options.protocols);
  const planned = program.elsewhere === true ? plannedListeners(written, wanted, options.security) : undefined;
  const config = planned === undefined ? written : { ...written, listeners: [...planned] };
  const { security, host } = options;
  const doors = doorsOf(config, { security, host, can: program.can, elsewhere: program.elsewhere });
  const door = (protocol: Protocol): Door | undefined => (wanted.includes(protocol) ? doors[protocol] : undefined);
  const [imap, pop3, smtp] = [door('imap'), door('pop3'), door('smtp')];
  const missing = unserved(wanted, doors);
  if (!imap && !pop3 && !smtp)
    throw cliError('cli.usage', `the gateway has no listener for ${wanted.join(' or ')}`, { hint: howToAdd(missing) });
  const files = await certificateFiles(config, systemClock, 'keep');
  const ca = files.ca === undefined ? undefined : (options.caFile ?? files.ca);
  const trouble = config.tls ? undefined : trustTrouble(config.home.tls, systemClock.now());
  if (trouble !== undefined)
    throw cliError('cli.usage', `the program could not verify the gateway: ${trouble.says}`, { hint: trouble.hint });
  if (files.ca !== undefined && !existsSync(files.ca))
    throw cliError('cli.usage', `the CA file ${files.ca} is not there, so the program could not verify the gateway`, {
      hint: config.tls ? 'correct tls.ca in postern.yaml' : 'make it: postern init --no-mailbox',
    });
  const { address } = mailbox;
  const made = program.write({ address, password: options.password, imap, pop3, smtp, planned, ca });
  const notes = [
    ...(missing.length === 0 ? [] : [`no ${serversOf(missing)}: ${howToAdd(missing)}`]),
    ...namesNotCovered(config, files, [imap, pop3, smtp]),
    ...notReached(config, { imap, pop3, smtp }, options.host),
    ...(program.elsewhere === true ? ownName(config, [imap, pop3, smtp], options.host) : []),
    ...(ca === undefined ? [] : howToReach(ca, files)),
  ];
  return { ...made, notes: [...notes, ...made.notes] };
}

/** A name by which other machines come is of no use where only this one is let in. */
function notReached(
  { listeners }: Config,
  doors: Readonly<Record<Protocol, Door | undefined>>,
  host: string | undefined,
): readonly string[] {
  if (!isElsewhere(host)) return [];
  const local = PROTOCOLS.flatMap((protocol) => {
    const port = doors[protocol]?.port;
    const found = listeners.filter((one) => one.protocol === protocol && one.port === port);
    return found.length > 0 && found.every((one) => isLoopback(one.host)) ? [`${protocol} port ${port}`] : [];
  });
  if (local.length === 0) return [];
  return [
    `${local.join(' and ')} ${local.length === 1 ? 'is' : 'are'} open on this machine only, so programs on other machines do not reach ${host} there; listeners for them are made with host: 0.0.0.0 under listeners: in postern.yaml`,
  ];
}

/** Of a machine’s own name nobody else need know anything. */
function ownName(
  { hostname }: Config,
  doors: readonly (Door | undefined)[],
  host: string | undefined,
): readonly string[] {
  const own = machineName();
  if (host !== undefined || hostname !== undefined || doors.every((door) => door?.host !== own)) return [];
  return [
    `${own} is what this machine calls itself; where devices know it by another name or address, set hostname: in postern.yaml, or give --host`,
  ];
}

/** What the program needs and no listener speaks: one of IMAP and POP3 is enough. */
function unserved(
  wanted: readonly Protocol[],
  doors: Readonly<Record<Protocol, Door | undefined>>,
): readonly Protocol[] {
  const incoming = wanted.filter((protocol) => protocol !== 'smtp');
  return [
    ...(incoming.some((protocol) => doors[protocol]) ? [] : incoming.slice(0, 1)),
    ...(wanted.includes('smtp') && !doors.smtp ? (['smtp'] as const) : []),
  ];
}

function serversOf(protocols: readonly Protocol[]): string {
  return protocols
    .map((protocol) => (protocol === 'smtp' ? 'outgoing server (smtp)' : `incoming server (${protocol})`))
    .join(' and no ');
}

/** A list in postern.yaml is the whole list. */
function howToAdd(protocols: readonly Protocol[]): string {
  const entries = DEFAULT_LISTENERS.filter(({ protocol, tls }) => protocols.includes(protocol) && tls === 'implicit');
  const [, ...lines] = listenersYaml(entries).map((line) => line.trim());
  return `the list of listeners in postern.yaml replaces the default one and has none for it; add: ${lines.join(' and ')}`;
}

/** What makes every TLS client turn away. */
function namesNotCovered(
  config: Config,
  files: CertificateFiles,
  doors: readonly (Door | undefined)[],
): readonly string[] {
  const hosts = new Set(doors.flatMap((door) => (door === undefined || door.security === 'plain' ? [] : [door.host])));
  let leaf;
  try {
    ({ leaf } = checkPair(readCertificate(files)));
  } catch {
    // A certificate that cannot be used is told by `check`, and by `serve`, which does not start with it.
    return [];
  }
  const names = namesOf(leaf).join(', ');
  return [...hosts]
    .filter((host) => !covers(leaf, host))
    .map((host) => {
      const what = `the gateway’s certificate is not for ${host} (it is for ${names}), so programs that verify it refuse it`;
      if (config.tls)
        return `${what}: give --host a name it is for, or set a certificate for ${host} (tls: in postern.yaml)`;
      return certificateNames(config).includes(host)
        ? `${what}: start postern serve again, which makes one for this name`
        : `${what}: set hostname: ${host} in postern.yaml and start postern serve again, or give --host a name it is for`;
    });
}

/** A CA in a folder that only its owner may open is of no use to the programs of anybody else. */
function howToReach(ca: string, files: CertificateFiles): readonly string[] {
  const own = files.ca;
  const copy = (to: string): string => `sudo install -m 644 ${shellWord(own ?? '')} ${shellWord(to)}`;
  if (ca !== own) return existsSync(ca) ? [] : [`${ca} is not there yet: ${copy(ca)}`];
  if (isReadByAll(ca)) return [];
  return [
    `only the user of this installation can read ${ca}; for programs of other users: ${copy(COPY)}, and give --ca-file ${COPY} here`,
  ];
}

/** Readable by everybody on every usual system, and of no meaning to the system itself. */
const COPY = '/usr/local/share/postern-ca.pem';

function isReadByAll(path: string): boolean {
  try {
    if ((statSync(path).mode & 0o004) === 0) return false;
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      if ((statSync(folder).mode & 0o001) === 0) return false;
      if (folder === dirname(folder)) return true;
    }
  } catch {
    // Whoever cannot look at it cannot say that others can.
    return false;
  }
}
