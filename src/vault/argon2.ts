/** Passphrase stretching: argon2id of RFC 9106 by way of Node's own OpenSSL. */
import { argon2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Secret } from '../base/secret.ts';
import { vaultError } from './errors.ts';

/** Kept in the vault's header in plain text: none of it is secret. */
export interface Cost {
  /** 16 octets, base64url. */
  readonly salt: string;
  /** KiB. */
  readonly memory: number;
  readonly passes: number;
  readonly lanes: number;
}

/** RFC 9106 §4, second recommended option (memory-constrained): 64 MiB, 3 passes, 4 lanes. About a quarter of a second. */
export function newCost(): Cost {
  return { salt: randomBytes(16).toString('base64url'), memory: 65_536, passes: 3, lanes: 4 };
}

/** The header comes from the database: whoever can write there must not make us use a gigabyte, or next to nothing. */
const BOUNDS = { memory: [8_192, 1_048_576], passes: [1, 16], lanes: [1, 16] } as const;

const argon2Async = promisify(argon2);

/** 32 octets from a passphrase. @throws vault.damaged when the cost is beyond sane bounds */
export async function argon2id(passphrase: Secret, cost: Cost): Promise<Uint8Array> {
  const nonce = Buffer.from(cost.salt, 'base64url');
  for (const name of ['memory', 'passes', 'lanes'] as const) {
    const [least, most] = BOUNDS[name];
    if (!Number.isInteger(cost[name]) || cost[name] < least || cost[name] > most) {
      throw vaultError(
        'vault.damaged',
        `the vault's header asks for ${name} of ${cost[name]}, outside ${least} to ${most}`,
      );
    }
  }
  if (nonce.length < 16) throw vaultError('vault.damaged', "the vault's header holds too short a salt");
  return argon2Async('argon2id', {
    message: passphrase.reveal().normalize('NFC'),
    nonce,
    memory: cost.memory,
    passes: cost.passes,
    parallelism: cost.lanes,
    tagLength: 32,
  });
}
