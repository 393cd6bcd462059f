/** The credential our application shows at the provider, and how long it will do. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose/jwt/decode';
import { type ClientCredential, openCredential } from '../oauth/application.ts';
import type { Application } from '../store/types.ts';
import { checkError } from './errors.ts';
import type { Found } from './step.ts';
import type { CheckDeps } from './types.ts';

const DAY_MS = 86_400_000;
/** Time enough for whoever has to renew it. */
const SOON_DAYS = 30;

/** @throws check.credential, vault.*, oauth.misconfigured */
export async function checkCredential(
  deps: Pick<CheckDeps, 'vault' | 'clock'>,
  application: Application,
): Promise<Found> {
  const credential = await openCredential(deps.vault, application);
  if (!credential) return { says: 'none: a public client, which needs none', facts: { type: 'none' } };
  const facts = { type: credential.type, application: application.name };
  switch (credential.type) {
    case 'secret':
      return { says: 'a client secret; when it ends only the provider knows', facts };
    case 'managed-identity':
      return { says: 'the managed identity of this machine', facts };
    case 'certificate':
      return ending('the client certificate', notAfter(credential), deps.clock.now(), facts);
    case 'federated':
      return ending(
        'the federated assertion',
        await assertionEnd(credential.assertionFile),
        deps.clock.now(),
        facts,
        0,
      );
  }
}

function notAfter({ certificatePem }: Extract<ClientCredential, { type: 'certificate' }>): number {
  return new X509Certificate(certificatePem).validToDate.getTime();
}

async function assertionEnd(file: string): Promise<number> {
  try {
    const { exp } = decodeJwt((await readFile(file, 'utf8')).trim());
    return exp === undefined ? Number.POSITIVE_INFINITY : exp * 1000;
  } catch (cause) {
    throw checkError('check.credential', `the federated assertion ${file} cannot be read`, {
      hint: `see that the platform writes a JWT there and that this user may read it: ls -l ${file}`,
      detail: { file },
      cause,
    });
  }
}

/** @param soonDays assertions are short-lived by design, and replaced by the platform */
function ending(
  what: string,
  at: number,
  now: number,
  facts: Readonly<Record<string, unknown>>,
  soonDays = SOON_DAYS,
): Found {
  const days = Math.floor((at - now) / DAY_MS);
  const date = Number.isFinite(at) ? new Date(at).toISOString().slice(0, 10) : 'no date';
  const all = { ...facts, until: date };
  if (at <= now)
    throw checkError('check.credential', `${what} has expired on ${date}`, {
      detail: all,
      hint: 'upload a new certificate or make a new credential at the provider, then give it to Postern: postern provider add --help',
    });
  const says = `${what} is valid until ${date}`;
  if (days >= soonDays) return { says, facts: all };
  return {
    says,
    facts: all,
    warning: {
      id: 'credential.ends',
      cause: `${what} ends in ${days} days`,
      blame: 'operator',
      remedy: [
        { do: 'make a new one at the provider beforehand and give it to Postern', run: 'postern provider add --help' },
      ],
    },
  };
}
