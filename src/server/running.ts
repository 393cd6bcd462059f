/** What the parts of one process share: each sets what those after it in the list use. */
import type { Clock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import { defaultLimits } from '../gateway/start.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import type { KeptCertificate } from './certificate.ts';
import type { CertificateInUse, WatchedCertificate } from './certificate-in-use.ts';
import type { DeviceListener } from '../outbox/device-listener.ts';
import type { Config } from './config.ts';
import type { Shares } from './descriptors.ts';
import type { HomeLock } from './home-lock.ts';
import type { KeyWatch } from './key-watch.ts';
import type { Instance } from './instance.ts';
import type { ServerLog } from './log.ts';
import { countLostLines, type Metrics, openMetrics } from './metrics.ts';
import type { Readiness } from './readiness.ts';
import { version } from './version.ts';

/** `single`: all of it. `primary`: supervises workers and does what is done once. `worker`: carries mail. */
export type Role = 'single' | 'primary' | 'worker';

export interface RunningOptions {
  readonly role: Role;
  readonly config: Config;
  readonly log: ServerLog;
  readonly clock: Clock;
  /** The configuration as its file is now. @throws server.config */
  readonly reread: () => Config;
  /** Aborted when the start is not wanted any more. */
  readonly unwanted?: AbortSignal;
  /** A worker's, from its primary. */
  readonly certificate?: CertificateInUse;
  readonly listeners?: readonly ListenerConfig[];
}

export interface Workers extends AsyncDisposable {
  /** What stands against being ready. */
  problems(): readonly string[];
  /** What a worker found damaged in the database. */
  damage(): string | undefined;
  /** What should be known of a worker although it serves. */
  warnings(): readonly string[];
  /** Prometheus's text of all processes added up, those that have ended included. */
  metrics(): Promise<string>;
}

export class Running {
  readonly role: Role;
  readonly config: Config;
  readonly log: ServerLog;
  readonly clock: Clock;
  readonly reread: () => Config;
  /** For parts that wait while they start. */
  readonly unwanted: AbortSignal;
  readonly metrics: Metrics = openMetrics(version);
  readonly #lost = Promise.withResolvers<PosternError>();
  phase: 'starting' | 'running' | 'stopping' = 'starting';
  /** The audit log has its start. */
  recorded = false;
  lock: HomeLock | undefined;
  instance!: Instance;
  readiness!: Readiness;
  /** How many connections each listener may have. */
  shares!: Shares;
  certificate!: CertificateInUse;
  /** Where this process looks after the files itself. */
  watched: WatchedCertificate | undefined;
  /** The local CA behind the certificate. */
  authority: Pick<KeptCertificate, 'warnings'> | undefined;
  /** Whether the master key is still where it is to be found. */
  key: KeyWatch | undefined;
  workers: Workers | undefined;
  /** Where the gateway is to listen, then where it does. */
  listeners: readonly ListenerConfig[];
  consolePort = 0;
  devices: Pick<DeviceListener, 'ease' | 'port'> | undefined;
  /** Where people reach the console. */
  consoleBase = '';
  /** Sessions open now, as far as this process carries them. */
  sessions: () => number = () => 0;
  /** What was found damaged in the database since this process began. */
  damage: string | undefined;

  constructor({ role, config, log, clock, reread, unwanted, certificate, listeners }: RunningOptions) {
    this.role = role;
    this.config = config;
    this.log = log;
    this.clock = clock;
    this.reread = reread;
    this.unwanted = unwanted ?? new AbortController().signal;
    this.listeners = listeners ?? config.listeners;
    if (certificate) this.certificate = certificate;
    countLostLines(this.metrics.registry, () => log.losses?.().lines ?? 0);
  }

  /** Resolves when this process cannot go on. */
  get lost(): Promise<PosternError> {
    return this.#lost.promise;
  }

  lose(error: PosternError): void {
    if (this.phase === 'stopping') return;
    this.#lost.resolve(error);
  }

  /** The database is damaged: nothing but a backup helps, so it is told until the next start. */
  foundDamage(error: PosternError): void {
    if (this.damage === undefined)
      this.log.error(
        { code: error.code, hint: error.hint, cause: error.cause },
        `${error.message}: mail may be refused`,
      );
    this.damage ??= error.message;
  }

  /** What `/readyz` says. */
  async problems(): Promise<readonly string[]> {
    if (this.phase === 'starting') return ['starting'];
    if (this.phase === 'stopping') return ['shutting down'];
    const found = [...(this.workers?.problems() ?? []), ...(await this.readiness.problems())];
    const damage = this.damage ?? this.workers?.damage();
    return damage === undefined ? found : [...new Set([damage, ...found])];
  }

  /** What `/readyz` says should be known although it serves. */
  warnings(): readonly string[] {
    const why = this.log.losses?.().why;
    const log =
      why === undefined
        ? []
        : [
            `the log cannot be written (${why}), its lines are lost; mail goes on. Make room on its disk, or start what reads it`,
          ];
    const audit = this.phase === 'running' ? this.instance.auditTrouble() : undefined;
    const own = [
      ...(this.watched?.warnings() ?? []),
      ...(this.authority?.warnings() ?? []),
      ...(this.key?.warnings() ?? []),
      ...log,
      ...(audit === undefined ? [] : [audit]),
    ];
    return [...new Set([...own, ...(this.workers?.warnings() ?? [])])];
  }
}

/** Sessions get their time, then their last words, then the sockets are closed. */
export function drainTime({ config }: Running): number {
  return (config.limits.drainMs ?? defaultLimits.drainMs) + 10_000;
}
