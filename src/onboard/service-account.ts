/** Google's service accounts: their JSON key as the Cloud console hands it out. */
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import type { ClientCredential } from '../oauth/application.ts';
import { oauthError } from '../oauth/errors.ts';

const keyFile = z.object({
  type: z.literal('service_account'),
  client_email: z.email(),
  private_key_id: z.string().min(1).optional(),
  private_key: z.string().min(1),
});

/** @throws oauth.misconfigured (no such key file, or a private key that cannot be read) */
export function readServiceAccount(text: Secret): Extract<ClientCredential, { type: 'service-account' }> {
  const parsed = keyFile.safeParse(jsonOf(text.reveal()));
  if (!parsed.success) throw unreadable('it is not the JSON key of a service account');
  const { client_email: email, private_key_id: keyId, private_key: privateKey } = parsed.data;
  try {
    createPrivateKey(privateKey);
  } catch {
    // The cause would quote the key.
    throw unreadable('its private_key is not a PEM private key');
  }
  return {
    type: 'service-account',
    email,
    ...(keyId === undefined ? {} : { keyId }),
    privateKey: new Secret(privateKey),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Told as any other file that is no key; the parser's words would quote it.
    return undefined;
  }
}

function unreadable(why: string): Error {
  return oauthError('oauth.misconfigured', `the service account key cannot be used: ${why}`, {
    hint: 'download a key of the type JSON: console.cloud.google.com > IAM & Admin > Service Accounts > Keys',
  });
}
