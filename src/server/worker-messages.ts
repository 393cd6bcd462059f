/** What the primary and its workers say to each other, over a pipe that only they have. */
import { PosternError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import type { ListenerConfig } from '../gateway/types.ts';
import type { CertificatePair } from '../protocol/tls/server.ts';
import type { Config, KeyConfig } from './config.ts';
import type { MetricValues } from './metrics.ts';

export type ToWorker =
  /** First: all it needs. The files may have changed since the primary read them. */
  | {
      readonly type: 'begin';
      readonly config: SentConfig;
      readonly listeners: readonly ListenerConfig[];
      readonly certificate: CertificatePair;
    }
  | { readonly type: 'certificate'; readonly certificate: CertificatePair }
  /** Is answered by a worker that is alive. */
  | { readonly type: 'ping' }
  | { readonly type: 'metrics' }
  | { readonly type: 'stop' };

export type ToPrimary =
  | { readonly type: 'hello' }
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly error: SentError }
  /** With why it cannot write its log just now, and what it found damaged in the database. */
  | { readonly type: 'pong'; readonly warnings: readonly string[]; readonly damage: string | undefined }
  | { readonly type: 'metrics'; readonly values: MetricValues };

/** The configuration with its secrets in the open, which print as `[secret]` otherwise. */
export interface SentConfig extends Omit<Config, 'database' | 'key'> {
  readonly database: string;
  readonly key:
    | Exclude<KeyConfig, { source: 'passphrase' | 'environment' }>
    | { readonly source: 'passphrase'; readonly secret: string }
    | { readonly source: 'environment'; readonly secret: string };
}

export function sendable({ database, key, ...config }: Config): SentConfig {
  return {
    ...config,
    database: database.reveal(),
    key:
      key.source === 'passphrase'
        ? { source: key.source, secret: key.passphrase.reveal() }
        : key.source === 'environment'
          ? { source: key.source, secret: key.value.reveal() }
          : key,
  };
}

export function received({ database, key, ...config }: SentConfig): Config {
  return {
    ...config,
    database: new Secret(database),
    key:
      key.source === 'passphrase'
        ? { source: key.source, passphrase: new Secret(key.secret) }
        : key.source === 'environment'
          ? { source: key.source, value: new Secret(key.secret) }
          : key,
  };
}

export type SentError = ReturnType<PosternError['toJSON']>;

export function revive({ code, kind, message, hint, detail }: SentError): PosternError {
  return new PosternError(code, { kind, hint }, message, { detail });
}
