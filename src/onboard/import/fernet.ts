/** Opens what email-oauth2-proxy sealed: Fernet (github.com/fernet/spec) under PBKDF2-SHA256 of the mail program's password. */
import { createDecipheriv, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { Secret } from '../../base/secret.ts';
import { importError } from './errors.ts';

const derive = promisify(pbkdf2);
/** What the proxy tries besides the stored number: that of today and that of files older than October 2023. */
const ITERATIONS = [1_200_000, 100_000];
const MAX_ITERATIONS = 10_000_000;

export interface SealedUnder {
  /** `token_salt`, base64. */
  readonly salt: string;
  /** `token_iterations`; undefined in old files. */
  readonly iterations: number | undefined;
}

/** One opener for all values of an account: deriving the key takes most of a second. */
export function fernetOpener(password: Secret, { salt, iterations }: SealedUnder): (sealed: string) => Promise<Secret> {
  const tries = [...new Set([...(iterations === undefined ? [] : [iterations]), ...ITERATIONS])].filter(
    (count) => Number.isInteger(count) && count > 0 && count <= MAX_ITERATIONS,
  );
  const keys = new Map<number, Promise<Buffer>>();
  /** @throws import.wrong-password */
  return async (sealed) => {
    for (const count of tries) {
      const key = keys.get(count) ?? derive(password.reveal(), Buffer.from(salt, 'base64'), count, 32, 'sha256');
      keys.set(count, key);
      const opened = openFernet(await key, sealed);
      if (opened !== undefined) return new Secret(opened);
    }
    throw importError('import.wrong-password', 'this password does not open what the old proxy stored');
  };
}

/** Version octet 0x80, time (8), IV (16), AES-128-CBC text, HMAC-SHA-256 (32). Undefined under the wrong key. */
export function openFernet(key: Buffer, token: string): string | undefined {
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length < 1 + 8 + 16 + 16 + 32 || bytes[0] !== 0x80) return undefined;
  const signed = bytes.subarray(0, -32);
  const expected = createHmac('sha256', key.subarray(0, 16)).update(signed).digest();
  if (!timingSafeEqual(expected, bytes.subarray(-32))) return undefined;
  const decipher = createDecipheriv('aes-128-cbc', key.subarray(16), bytes.subarray(9, 25));
  return Buffer.concat([decipher.update(bytes.subarray(25, -32)), decipher.final()]).toString('utf8');
}
