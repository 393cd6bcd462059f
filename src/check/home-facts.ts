/** What a check of the installation has to know of its configuration. */
import type { Protocol } from '../store/protocols.ts';
import type { ConsoleDoor } from './answerer.ts';

/** Where this installation has its things; the server's configuration has all of it. */
export interface InstallationFacts {
  readonly home: { readonly state: string; readonly config: string };
  /** File of the master key; undefined when it comes from elsewhere. */
  readonly keyPath: string | undefined;
  /** Why the passphrase, where there is one, can be guessed. */
  readonly passphraseWeakness: string | undefined;
  /** File of an SQLite database. */
  readonly databasePath: string | undefined;
  readonly certificatePath: string;
  readonly certificateKeyPath: string;
  /** What programs call this machine by; the certificate should be for all of them. */
  readonly certificateNames: readonly string[];
  /** Made by us and renewed by `serve`. */
  readonly ownCertificate: boolean;
  /** The local CA that issues it: what stands against that, and what helps. */
  readonly authority:
    | { problem(now: number): { readonly says: string; readonly hint: string } | undefined }
    | undefined;
  readonly listeners: readonly {
    readonly protocol: Protocol;
    readonly tls: 'none' | 'starttls' | 'implicit';
    readonly host: string;
    readonly port: number;
  }[];
  /** In words: which of the default listeners the configuration leaves out. */
  readonly listenersLeftOut: string | undefined;
  readonly console: { readonly host: string; readonly port: number; readonly insecurePublic: boolean };
  /** Where this installation's own server says who it is. */
  readonly consoleDoor: ConsoleDoor;
  /** Who may hand over mail without signing in; undefined where nobody may. */
  readonly devices:
    | {
        readonly host: string;
        readonly port: number;
        readonly tls: 'none' | 'starttls' | 'implicit' | 'plain';
        readonly rules: readonly {
          readonly name: string;
          readonly networks: readonly string[];
          readonly mailbox: string;
          readonly sender?: string | undefined;
          readonly perHour: number;
        }[];
      }
    | undefined;
  readonly logLevel: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}
