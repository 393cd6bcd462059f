/** Options that give a client credential: the same for a new application and for one that rolls over. */
import type { Command } from 'commander';
import type { ClientCredential } from '../oauth/application.ts';
import { readServiceAccount } from '../onboard/service-account.ts';
import { readSecret, readText } from './ask.ts';
import { cliError } from './errors.ts';
import { moment } from './value.ts';

export interface CredentialOptions {
  readonly clientSecretFile?: string;
  readonly secretExpires?: number;
  readonly certificate?: string;
  readonly privateKey?: string;
  readonly assertionFile?: string;
  readonly managedIdentity?: string | true;
  readonly serviceAccountFile?: string;
}

export function addCredentialOptions<C extends Command>(command: C): C {
  return command
    .option('--client-secret-file <file>', 'file with the client secret, - for standard input')
    .option(
      '--secret-expires <date>',
      'when the secret ends, as the provider’s page says: 2027-05-31, or 180d from now; you are told in time',
      moment,
    )
    .option('--certificate <file>', 'PEM certificate registered for the application')
    .option('--private-key <file>', 'PEM private key of the certificate')
    .option('--assertion-file <file>', 'file in which the platform keeps a federated assertion (JWT)')
    .option('--managed-identity [client-id]', 'use the managed identity of this Azure machine')
    .option(
      '--service-account-file <file>',
      'JSON key of a Google service account with domain-wide delegation, - for standard input',
    );
}

/** @throws cli.usage (several at once, a certificate without its key, an end without a secret) */
export async function readCredential(options: CredentialOptions): Promise<ClientCredential | undefined> {
  const {
    clientSecretFile,
    certificate,
    privateKey,
    assertionFile,
    managedIdentity,
    serviceAccountFile,
    secretExpires,
  } = options;
  const ways = [clientSecretFile, certificate, assertionFile, managedIdentity, serviceAccountFile].filter(
    (way) => way !== undefined,
  );
  if (ways.length > 1)
    throw cliError('cli.usage', 'give one credential at a time', {
      hint: 'a client secret, a certificate, an assertion file, a managed identity or a service account key; add others with postern application credential add',
    });
  if (secretExpires !== undefined && clientSecretFile === undefined)
    throw cliError('cli.usage', 'only a client secret needs --secret-expires', {
      hint: 'the end of a certificate is read from it',
    });
  if (clientSecretFile !== undefined)
    return { type: 'secret', secret: await readSecret(clientSecretFile, 'client secret') };
  if (certificate !== undefined) {
    if (privateKey === undefined)
      throw cliError('cli.usage', 'a certificate needs its private key', { hint: 'add --private-key FILE' });
    return {
      type: 'certificate',
      certificatePem: readText(certificate, 'certificate'),
      privateKey: await readSecret(privateKey, 'private key'),
    };
  }
  if (serviceAccountFile !== undefined)
    return readServiceAccount(await readSecret(serviceAccountFile, 'service account key'));
  if (assertionFile !== undefined) return { type: 'federated', assertionFile };
  if (managedIdentity === undefined) return undefined;
  return { type: 'managed-identity', ...(managedIdentity === true ? {} : { clientId: managedIdentity }) };
}
