/** Signed editions of the catalogue: one JSON file that carries the data as text, and an Ed25519 signature (RFC 8032) of it. */
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { oauthError } from '../errors.ts';
import { type Catalogue, catalogueSchema } from './schema.ts';

/** Who may publish: public keys as base64 of their SubjectPublicKeyInfo (RFC 8410). The private halves are not in this repository. */
export const PUBLISHERS: readonly string[] = ['MCowBQYDK2VwAyEAFILroTlXItUV2szo1kpZDKGELc6807UAsVOdrwZYARA='];

/** Larger is no catalogue. */
export const LARGEST_EDITION_OCTETS = 4 << 20;

const envelope = z.strictObject({
  signed: z.literal('postern-data-1'),
  /** base64 of 64 octets. */
  signature: z.string().regex(/^[A-Za-z0-9+/]{86}==$/),
  /** The catalogue, exactly as it was signed. */
  data: z.string(),
});

/**
 * Reads a signed edition and believes nothing in it before the signature.
 * @param text the file
 * @param publishers public keys, any of which may have signed
 * @throws oauth.catalogue-unreadable, oauth.catalogue-untrusted
 */
export function openSigned(text: string, publishers: readonly string[]): Catalogue {
  const outer = envelope.safeParse(parseJson(text, 'the file is no signed edition'));
  if (!outer.success)
    throw oauthError('oauth.catalogue-unreadable', 'the file is no signed edition of the catalogue', {
      detail: { issue: outer.error.issues[0]?.message },
    });
  const { data, signature } = outer.data;
  const message = messageOf(data);
  const octets = Buffer.from(signature, 'base64');
  if (!publishers.some((key) => verify(undefined, message, publicKey(key), octets)))
    throw oauthError('oauth.catalogue-untrusted', 'the signature of the catalogue is not by a publisher we know');
  return readCatalogue(parseJson(data, 'the catalogue is not JSON'));
}

/** Makes the file that {@link openSigned} reads. @throws oauth.catalogue-unreadable (the data do not fit the schema) */
export function signCatalogue(data: string, key: KeyObject): string {
  readCatalogue(parseJson(data, 'the catalogue is not JSON'));
  const signature = sign(undefined, messageOf(data), key).toString('base64');
  return `${JSON.stringify({ signed: 'postern-data-1', signature, data })}\n`;
}

/** @throws oauth.catalogue-unreadable */
export function readCatalogue(value: unknown): Catalogue {
  const parsed = catalogueSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw oauthError('oauth.catalogue-unreadable', `the catalogue does not fit its schema: ${issue.message}`, {
    detail: { path: issue.path.join('.') },
  });
}

/** Signatures for another purpose by the same key must not fit. */
function messageOf(data: string): Buffer {
  return Buffer.from(`postern-data-1\n${data}`);
}

function publicKey(base64: string): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' });
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (cause) {
    throw notAKey(cause);
  }
  throw notAKey(undefined);
}

function notAKey(cause: unknown): Error {
  return oauthError('oauth.catalogue-untrusted', 'a publisher’s key is no Ed25519 public key', {
    hint: 'give data.publishers in postern.yaml keys as base64 SubjectPublicKeyInfo: openssl pkey -pubout -outform DER | base64',
    cause,
  });
}

function parseJson(text: string, message: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw oauthError('oauth.catalogue-unreadable', message, { cause });
  }
}
