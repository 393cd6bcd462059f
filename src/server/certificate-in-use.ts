/** The certificate pair a process uses: the last one that was whole, whatever the files hold meanwhile. */
import { existsSync, readFileSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import { asError, type PosternError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import { moveAway, shellWord } from '../base/shell.ts';
import { checkPair, type PairFacts } from '../protocol/tls/pair.ts';
import type { CertificatePair } from '../protocol/tls/server.ts';
import { serverError } from './errors.ts';

/** What listeners need of it. */
export interface CertificateInUse {
  /** Always whole: the key belongs to the certificate. */
  readonly current: CertificatePair;
  /** Calls back after {@link current} has changed. */
  onChange(callback: () => void): { stop(): void };
}

export interface WatchedCertificate extends CertificateInUse, AsyncDisposable {
  /** Looks at the files now: whether there was another pair, or why what is there cannot be used. */
  look(): 'replaced' | 'unchanged' | PosternError;
  /** What a person should know of it, in plain words: it ends soon, it has ended, newer files cannot be used. */
  warnings(): readonly string[];
}

/** Polls: rename, symlink and bind-mount updates all look different to watchers. */
const LOOK_EVERY_MS = 5000;
/** Whoever replaces both files needs a moment between them, at our start too. */
const PATIENCE_MS = 10_000;
const AGAIN_MS = 250;
const DAY_MS = 86_400_000;
/** As `postern check` warns. Ours are renewed a month ahead: when that has failed for three weeks, somebody has to look. */
const WARN_DAYS = { operator: 14, own: 7 };
const SAY_AGAIN_MS = DAY_MS;

/**
 * Reads the pair, waiting a while for one that is whole, and watches it.
 * @throws server.certificate, the signal's reason
 */
export async function openCertificate(
  files: CertificateFiles,
  clock: Clock,
  log: Log,
  signal?: AbortSignal,
): Promise<WatchedCertificate> {
  let last = '';
  for (let waited = 0; ; waited += AGAIN_MS) {
    try {
      const pair = readCertificate(files);
      return new Watched(files, pair, usable(files, pair), clock, log);
    } catch (error) {
      const { message } = asError(error);
      if (waited >= PATIENCE_MS) throw error;
      if (message !== last) log.warn({}, `${message}; waiting ${(PATIENCE_MS - waited) / 1000} s for it`);
      last = message;
      await clock.sleep(AGAIN_MS, signal);
    }
  }
}

/** A pair that somebody else watches: the primary for its workers. */
export class GivenCertificate implements CertificateInUse {
  #current: CertificatePair;
  readonly #callbacks = new Set<() => void>();

  constructor(pair: CertificatePair) {
    this.#current = pair;
  }

  get current(): CertificatePair {
    return this.#current;
  }

  replace(pair: CertificatePair): void {
    this.#current = pair;
    for (const callback of this.#callbacks) callback();
  }

  onChange(callback: () => void): { stop(): void } {
    this.#callbacks.add(callback);
    return { stop: () => void this.#callbacks.delete(callback) };
  }
}

class Watched extends GivenCertificate implements WatchedCertificate {
  readonly #files: CertificateFiles;
  readonly #clock: Clock;
  readonly #log: Log;
  #facts: PairFacts;
  /** What was read last and cannot be used, with the reason. */
  #refused: { readonly error: PosternError; said: boolean } | undefined;
  #saidEndAt: number | undefined;
  #timer;

  constructor(files: CertificateFiles, pair: CertificatePair, facts: PairFacts, clock: Clock, log: Log) {
    super(pair);
    this.#files = files;
    this.#facts = facts;
    this.#clock = clock;
    this.#log = log;
    this.#timer = clock.after(LOOK_EVERY_MS, this.#tick);
    this.#sayEnd();
  }

  look(): 'replaced' | 'unchanged' | PosternError {
    try {
      const pair = readCertificate(this.#files);
      if (textOf(pair) === textOf(this.current)) {
        this.#refused = undefined;
        return 'unchanged';
      }
      const facts = usable(this.#files, pair);
      this.#requireBegun(facts);
      this.#facts = facts;
      this.#refused = undefined;
      this.replace(pair);
      this.#log.info(
        { certificate: this.#files.cert, until: iso(this.#facts.until) },
        'the certificate was replaced; new connections get it',
      );
      this.#saidEndAt = undefined;
      this.#sayEnd();
      return 'replaced';
    } catch (error) {
      const problem = asError(error);
      const said = this.#refused?.error.message === problem.message && this.#refused.said;
      this.#refused = { error: problem, said };
      return problem;
    }
  }

  warnings(): readonly string[] {
    const end = this.#end();
    return [
      ...(end === undefined ? [] : [end]),
      ...(this.#refused ? [`${this.#refused.error.message}; the certificate from before stays in use`] : []),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer.cancel();
  }

  readonly #tick = (): void => {
    this.#timer = this.#clock.after(LOOK_EVERY_MS, this.#tick);
    const before = this.#refused;
    this.look();
    this.#sayEnd();
    const now = this.#refused;
    // Said at the second look: between its two files every renewal is out of step for a moment.
    if (now === undefined || now.said || before === undefined) return;
    now.said = true;
    const { message, hint, code } = now.error;
    this.#log.warn({ code, hint }, `${message}; the certificate from before stays in use`);
  };

  /** One that is not valid yet is taken up when its time has come. @throws server.certificate */
  #requireBegun(facts: PairFacts): void {
    const { cert } = this.#files;
    if (facts.from > this.#clock.now())
      throw serverError('server.certificate', `the certificate ${cert} is not valid before ${iso(facts.from)}`, {
        hint: `check the date of this machine (date); if that is right, put a certificate that is valid now in place: openssl x509 -in ${cert} -noout -dates`,
      });
  }

  #end(): string | undefined {
    const { from } = this.#facts;
    const { cert } = this.#files;
    if (from > this.#clock.now())
      return `the certificate ${cert} is not valid before ${iso(from)}; mail programs refuse it until then`;
    const days = Math.floor((this.#facts.until - this.#clock.now()) / DAY_MS);
    if (days < 0)
      return `the certificate ${this.#files.cert} has expired (${iso(this.#facts.until)}); mail programs refuse it`;
    return days < (this.#files.ca === undefined ? WARN_DAYS.operator : WARN_DAYS.own)
      ? `the certificate ${this.#files.cert} ends in ${days} days (${iso(this.#facts.until)})`
      : undefined;
  }

  #sayEnd(): void {
    const end = this.#end();
    const now = this.#clock.now();
    if (end === undefined || (this.#saidEndAt !== undefined && now - this.#saidEndAt < SAY_AGAIN_MS)) return;
    this.#saidEndAt = now;
    const hint = this.#files.also
      ? 'Postern makes a new one by itself; if it does not, the log says why. Check the date of this machine (date)'
      : 'renew it and replace both files; they are taken up within five seconds. Check the date of this machine (date)';
    this.#log.warn({ hint }, end);
  }
}

/** @throws server.certificate when a file cannot be read: whoever replaces both may be between them */
export function readCertificate(files: Pick<CertificateFiles, 'also' | 'cert' | 'key'>): CertificatePair {
  const pair = { cert: read(files.cert, 'the certificate file'), key: read(files.key, 'the key file') };
  // Of a version before there was a second pair, or between its two files: the first serves.
  const also =
    files.also && existsSync(files.also.cert) && existsSync(files.also.key) ? readCertificate(files.also) : undefined;
  return { ...pair, ...(also && isPair(also) ? { also } : {}) };
}

function isPair(pair: CertificatePair): boolean {
  try {
    checkPair(pair);
    return true;
  } catch {
    return false;
  }
}

const textOf = ({ also, cert, key }: CertificatePair): string => [cert, key, also?.cert, also?.key].join('');

/** @throws server.certificate */
function usable({ cert, key }: CertificateFiles, pair: CertificatePair): PairFacts {
  try {
    return checkPair(pair);
  } catch (cause) {
    throw serverError('server.certificate', `${asError(cause).message} (${cert}, ${key})`, { cause });
  }
}

const iso = (at: number): string => new Date(at).toISOString().slice(0, 10);

function read(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code = 'unknown reason' } = cause as NodeJS.ErrnoException;
    throw serverError('server.certificate', `${what} ${path} ${WHY[code] ?? `cannot be read (${code})`}`, {
      hint: `${code === 'EISDIR' ? `${moveAway(path)} and put the file in its place` : `check that it exists and that this user may read it: ls -l ${shellWord(path)}`}; then start Postern again; a service manager does so by itself`,
      cause,
    });
  }
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  /** What mail programs have to trust: the local CA, or `tls.ca` of the operator; undefined where systems trust the certificate. */
  readonly ca: string | undefined;
  /** A pair with an RSA key beside ours, for devices that know no other. An operator's certificate stands alone. */
  readonly also?: { readonly cert: string; readonly key: string };
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: 'is not there',
  EACCES: 'may not be read by this user',
  EISDIR: 'is a folder',
};
