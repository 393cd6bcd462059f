/** Everything one process needs to work with a home: store, vault, tokens, audit. Commands and the gateway start from this. */
import { dirname } from 'node:path';
import { nameBeside } from '../base/replace-file.ts';
import { constants, existsSync, linkSync, renameSync, rmSync, statSync } from 'node:fs';
import { type Clock, systemClock } from '../base/clock.ts';
import { isError, type PosternError } from '../base/error.ts';
import { type Log, nullLog } from '../base/log.ts';
import { shellWord } from '../base/shell.ts';
import { auditKey, openAudit } from '../audit/log.ts';
import type { Audit } from '../audit/types.ts';
import { withBoundedRefusals } from '../access/refusals.ts';
import { keepCatalogueAt } from '../oauth/catalogue/catalogue.ts';
import type { OAuthEvent } from '../oauth/events.ts';
import { openCircuits } from '../oauth/circuit.ts';
import type { RenewalDeps } from '../oauth/renewal-deps.ts';
import { openTokenSource } from '../oauth/token-source.ts';
import type { TokenSource } from '../oauth/types.ts';
import { openOutbox } from '../outbox/open.ts';
import type { Outbox } from '../outbox/types.ts';
import { Budget } from '../protocol/wire/budget.ts';
import { openStore } from '../store/open.ts';
import type { AuditKey, Store } from '../store/types.ts';
import {
  createKeyFile,
  credentialKey,
  environmentKey,
  fileKey,
  type KeySource,
  passphraseKey,
} from '../vault/key-source.ts';
import { HEADER } from '../vault/header.ts';
import { vaultError } from '../vault/errors.ts';
import { openVault } from '../vault/open.ts';
import type { Vault } from '../vault/types.ts';
import type { Config, KeyConfig } from './config.ts';
import { type DatabaseInPlace, requireOneName, watchDatabaseFile } from './database-file.ts';
import { serverError } from './errors.ts';
import { makeRoom } from './heap.ts';
import { type Home, makeHome } from './home.ts';
import { removeLeftovers } from './leftovers.ts';
import { confirmDatabase, databaseFile, expectDatabase, isAuditSigned } from './installation-mark.ts';
import { accessRefused, isAccessRefused, requireAccessTo } from './ownership.ts';
import { serviceInstallation } from './systemd/installed.ts';
import { openSuppressed } from '../outbox/suppressed.ts';

export interface InstanceOptions {
  readonly config: Config;
  readonly clock?: Clock;
  readonly log?: Log;
  /** As {@link StoreOptions.writer}; `here` unless given. */
  readonly writer?: 'here' | 'thread';
  /** Only a home that is there: a mistyped folder is told, not made. */
  readonly existing?: boolean;
  /** Hears of every OAuth event besides the audit log. */
  readonly onEvent?: (event: OAuthEvent) => void;
  /** Called when the database cannot come back in this process. */
  readonly lost?: (error: PosternError) => void;
  /** Called whenever something in the database turns out to be damaged. */
  readonly damaged?: (error: PosternError) => void;
}

export interface Instance {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly inPlace: DatabaseInPlace;
  readonly store: Store;
  readonly vault: Vault;
  readonly audit: Audit;
  /** What is wrong with the audit log itself. */
  readonly auditTrouble: () => string | undefined;
  /** What the audit log is signed with. */
  readonly auditKey: AuditKey;
  readonly tokens: TokenSource;
  /** What renews tokens here, for the duty of renewal. */
  readonly renewal: RenewalDeps;
  readonly outbox: Outbox;
  /** Octets that this process may hold for its peers. */
  readonly budget: Budget;
  /** Puts an OAuth event on the audit log, or on that of who brought it about. */
  readonly emit: (event: OAuthEvent, audit?: Audit) => Promise<void>;
  /** Waits for renewals under way, flushes the audit log, closes the database. */
  close(): Promise<void>;
}

/**
 * Opens a home that was initialised.
 * @throws server.not-initialised, server.key-missing, server.not-yours, server.home, server.database-missing, vault.*, store.*
 */
export async function openInstance(options: InstanceOptions): Promise<Instance> {
  const { config } = options;
  const { heldOctets } = config.limits;
  const clock = options.clock ?? systemClock;
  const log = options.log ?? nullLog;
  if (options.existing === true && databaseFile(config) !== undefined) requireHome(config.home);
  makeHome(config.home);
  removeLeftovers(config, log);
  keepCatalogueAt({ path: config.home.catalogue, publishers: config.data.publishers });
  if (config.key.source === 'file') await requireKeyFile(config, config.key.path);
  expectDatabase(config);
  const database = databaseFile(config);
  if (database !== undefined) requireAccessTo(database, constants.R_OK | constants.W_OK);
  requireOneName(config);
  /** What was found damaged: what is written after it may be lost. */
  let damage: PosternError | undefined;
  const store = await openStore(config.database.reveal(), {
    clock,
    log,
    ...(options.writer && { writer: options.writer }),
    ...(options.lost && { lost: options.lost }),
    damaged(error) {
      damage ??= error;
      options.damaged?.(error);
    },
  });
  const file = watchDatabaseFile(config);
  const inPlace: DatabaseInPlace = {
    gone: file.gone,
    confirm() {
      file.confirm();
      if (damage !== undefined) throw damage;
    },
  };
  try {
    await confirmDatabase(config, store, log);
    const sealed = (await store.settings.get(HEADER)) !== undefined;
    const vault = await openVault(store.settings, keySource(config.key)).catch((error: unknown) => {
      throw sealed ? keyUnusable(config, error) : error;
    });
    const key = await auditKey(vault, await isAuditSigned(config, store, log));
    const written = openAudit(store.audit, clock, { log, key });
    const audit = withBoundedRefusals(written, clock);
    const emit = async (event: OAuthEvent, by: Audit = audit): Promise<void> => {
      options.onEvent?.(event);
      await recordEvent({ audit: by, log, store }, event);
    };
    const circuits = openCircuits(clock, (event) => {
      emit(event).catch((error: unknown) => log.error({ error }, 'an event could not be recorded'));
    });
    const tokens = openTokenSource({ store, vault, clock, log, emit, circuits });
    const outbox = openOutbox({
      store,
      vault,
      clock,
      maxOctets: config.outbox.maxOctets,
      localDomain: config.outbox.localDomain,
      keepMs: config.outbox.keepDays * 86_400_000,
      suppressed: openSuppressed(store),
      confirm: inPlace.confirm,
      onArrival: makeRoom,
    });
    return {
      config,
      clock,
      log,
      inPlace,
      store,
      vault,
      audit,
      auditTrouble: () => written.trouble(),
      auditKey: key,
      tokens,
      renewal: tokens.renewal,
      outbox,
      budget: new Budget({ clock, ...(heldOctets === undefined ? {} : { octets: heldOctets }) }),
      emit,
      async close() {
        await outbox.close();
        await tokens.close();
        audit.close();
        await written.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/**
 * Makes the key file of a new home; an existing one stays. Says whether it was made.
 * @throws server.key-missing when the database was set up with a key already: another one would open nothing
 */
export async function ensureKey(config: Config): Promise<'made' | 'there' | 'elsewhere'> {
  if (config.key.source !== 'file') return 'elsewhere';
  removeLeftovers(config);
  const isEmpty = statSync(config.key.path, { throwIfNoEntry: false })?.size === 0;
  if (existsSync(config.key.path) && !isEmpty) return 'there';
  const sealed = await hasVault(config);
  // An empty one beside a database that needs a key is told by whoever reads it.
  if (sealed && isEmpty) return 'there';
  if (sealed) throw keyMissing(config, config.key.path);
  if (isEmpty) setAside(config.key.path);
  makeHome({ ...config.home, state: dirname(config.key.path) });
  try {
    await createKeyFile(config.key.path);
  } catch (error) {
    // Another init was faster.
    if (isError(error) && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'EEXIST') return 'there';
    if (isError(error) && isAccessRefused(error.cause) && !error.code.startsWith('base.'))
      throw accessRefused(config.key.path, error.cause);
    throw error;
  }
  return 'made';
}

/** Removes a key file that an init which was ended left empty; one that another init has written meanwhile stays. */
function setAside(path: string): void {
  const aside = nameBeside(path, 'empty');
  try {
    renameSync(path, aside);
    if (statSync(aside).size > 0) linkSync(aside, path);
    rmSync(aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** @throws server.not-yours, server.key-missing, server.not-initialised */
async function requireKeyFile(config: Config, path: string): Promise<void> {
  requireAccessTo(path, constants.R_OK);
  if (existsSync(path)) return;
  if (await hasVault(config)) throw keyMissing(config, path);
  throw notInitialised(config.home);
}

/** Whether the database was set up with a master key. Nothing is made where there is no database. */
async function hasVault(config: Config): Promise<boolean> {
  const file = databaseFile(config);
  if (file !== undefined && !existsSync(file)) return false;
  const store = await openStore(config.database.reveal());
  try {
    return (await store.settings.get(HEADER)) !== undefined;
  } finally {
    await store.close();
  }
}

function keyMissing(config: Config, path: string): PosternError {
  const database = databaseFile(config) ?? 'the PostgreSQL database';
  const usual = config.home.key;
  const elsewhere = path !== usual && existsSync(usual);
  return serverError(
    'server.key-missing',
    `${database} was set up with a master key, but there is no key file ${path}`,
    {
      hint: elsewhere
        ? `there is a key file ${usual}: correct key.path in postern.yaml, or leave it out`
        : `restore the key file from your backup to ${path} (mode 600), or correct key.path in postern.yaml; without it the consents in this database are lost, and to begin again its file has to be moved away: docs/backup.md`,
      detail: { path, ...(elsewhere ? { found: usual } : {}) },
    },
  );
}

/** A key that does not open the database it stands beside: never the advice to make another. */
function keyUnusable(config: Config, error: unknown): unknown {
  // One that cannot be read at all, or is of another kind, has advice of its own.
  const isWrong = isError(error, 'vault.wrong-key') && error.hint === vaultError.table['vault.wrong-key'].hint;
  const isNone = isError(error, 'vault.locked') && 'octets' in error.detail;
  if (!isWrong && !isNone) return error;
  const { key } = config;
  const database = databaseFile(config) ?? 'the PostgreSQL database';
  const [said, where] =
    key.source === 'file'
      ? [`the key file ${key.path}`, key.path]
      : key.source === 'credential'
        ? [`the credential ${key.name}`, undefined]
        : [key.source === 'passphrase' ? 'the passphrase' : 'the variable', undefined];
  const restore =
    where === undefined
      ? 'give the key this database was set up with'
      : `restore the key file from your backup to ${where} (mode 600), or correct key.path in postern.yaml`;
  return serverError(
    'server.key-unusable',
    isNone
      ? `${error.message}, and ${database} is sealed with another key`
      : `${database} is sealed with another master key than ${said} holds`,
    {
      hint: `${restore}; no new key opens this database, and without the old one the consents in it are lost: docs/backup.md`,
      detail: { database, ...(where === undefined ? {} : { path: where }), because: error.code },
      cause: error,
    },
  );
}

/**
 * Before a server makes anything: a mistyped folder is no reason to make one. Where the key comes from elsewhere, there may be nothing
 * yet, as with the new volume of a container.
 * @throws server.not-yours, server.key-missing, server.not-initialised
 */
export async function requireInitialised(config: Config): Promise<void> {
  if (config.key.source === 'file') await requireKeyFile(config, config.key.path);
}

/** @throws server.not-initialised when the folder is not there */
export function requireHome(home: Home): void {
  try {
    statSync(home.state);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw notInitialised(home);
    // Anything else is told by whoever uses it.
  }
}

function notInitialised({ state, namedBy }: Home): PosternError {
  const other = serviceInstallation();
  if (other !== undefined && other.home !== state)
    return serverError('server.not-initialised', `there is no Postern in ${state}`, {
      hint: `the service of this machine uses ${other.home}: ${other.run(process.argv.slice(2))}; or begin another installation: postern init`,
    });
  if (namedBy === undefined) return serverError('server.not-initialised', `there is no Postern in ${state} yet`);
  return serverError(
    'server.not-initialised',
    `there is no installation in ${state}, the folder that ${namedBy} names`,
    {
      hint: `correct ${namedBy}, or begin a new installation there: ${namedBy === '--home' ? `postern --home ${shellWord(state)} init` : 'postern init'}`,
    },
  );
}

/** Where the configuration says the master key is. */
export function keySource(key: KeyConfig): KeySource {
  switch (key.source) {
    case 'file':
      return fileKey(key.path);
    case 'passphrase':
      return passphraseKey(key.passphrase, { insecureWeak: key.insecureWeak === true });
    case 'environment':
      return environmentKey(key.value);
    case 'credential':
      return credentialKey(key.name);
  }
}

/** What the log says of an OAuth event besides. */
const SAYS: { readonly [Type in OAuthEvent['type']]?: readonly ['info' | 'warn', string] } = {
  'scopes.broader': ['warn', 'the token can do more than mail needs; narrow the application’s permissions'],
  'provider.unreachable': ['warn', 'the provider gives no tokens; asking again until it does'],
  'provider.recovered': ['info', 'the provider gives tokens again'],
  'credential.refused': ['warn', 'the provider refused a client credential; the next one is used'],
};
const FAILED: ReadonlySet<OAuthEvent['type']> = new Set([
  'consent.refused',
  'provider.unreachable',
  'credential.refused',
]);

/** OAuth events as audit records. Broad scopes are for the log: the token request says what led to them. */
async function recordEvent(
  { audit, log, store }: { readonly audit: Audit; readonly log: Log; readonly store: Store },
  event: OAuthEvent,
): Promise<void> {
  const { type, ...facts } = event;
  const says = SAYS[type];
  if (says) log[says[0]]({ event: type, ...facts }, says[1]);
  if (event.type === 'scopes.broader') return;
  if (event.type === 'grant.changed') {
    const broken = event.to === 'needs-consent';
    (broken ? log.warn : log.debug)({ event: type, ...facts }, `grant is now ${event.to}`);
    const mailboxes = (await store.mailboxes.byGrant(event.grantId)).map(({ address }) => address);
    const [mailbox] = mailboxes;
    return audit.record({
      type: event.type,
      outcome: broken ? 'failed' : 'ok',
      ...(mailbox === undefined ? {} : { mailbox }),
      data: { ...facts, ...(mailboxes.length > 1 ? { mailboxes: mailboxes.slice(0, 50) } : {}) },
    });
  }
  const { type: kind, address, outcome, ...data }: RecordedEvent = event;
  return audit.record({
    type: kind === 'credential.refused' ? 'application.credential-refused' : kind,
    outcome: outcome ?? (FAILED.has(kind) ? 'failed' : 'ok'),
    ...(address === undefined ? {} : { mailbox: address }),
    data,
  });
}

type RecordedEvent = Exclude<OAuthEvent, { type: 'scopes.broader' | 'grant.changed' }> & {
  readonly address?: string;
  readonly outcome?: 'ok' | 'failed';
};
