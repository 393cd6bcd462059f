/** The credential our application shows at the provider, and how long it will do. */
import { shellWord } from '../base/shell.ts';
import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose/jwt/decode';
import { type ClientCredential, openCredentials } from '../oauth/application.ts';
import type { Application } from '../store/types.ts';
import { checkError } from './errors.ts';
import type { Found } from './step.ts';
import type { CheckDeps } from './types.ts';

const DAY_MS = 86_400_000;
/** Time enough for whoever has to renew it. */
const SOON_DAYS = 30;

/** What a credential is called. */
const NAMES: Readonly<Record<ClientCredential['type'], string>> = {
  secret: 'client secret',
  certificate: 'client certificate',
  federated: 'federated assertion',
  'managed-identity': 'managed identity',
  'service-account': 'service account key',
};

/**
 * Of several credentials the first that has not ended is used, so only the end of the last one matters.
 * @throws check.credential, vault.*, oauth.misconfigured
 */
export async function checkCredential(
  deps: Pick<CheckDeps, 'vault' | 'clock'>,
  application: Application,
): Promise<Found> {
  const held = await openCredentials(deps.vault, application);
  if (held.length === 0) return { says: 'none: a public client, which needs none', facts: { credentials: [] } };
  const now = deps.clock.now();
  const all = await Promise.all(
    held.map(async ({ facts, credential }) => ({ ...facts, end: await endOf(facts.expiresAt, credential) })),
  );
  const lasting = all.reduce((best, one) => (one.end > best.end ? one : best));
  const facts = {
    application: application.name,
    credentials: all.map(({ id, type, end }) => ({ id, type, until: dayOf(end) ?? null })),
  };
  return judgeEnd(NAMES[lasting.type], lasting.end, now, {
    facts,
    soonDays: lasting.type === 'federated' ? 0 : SOON_DAYS,
    name: application.name,
  });
}

/** Infinity: unknown, or none. */
async function endOf(known: number | undefined, credential: ClientCredential): Promise<number> {
  if (credential.type === 'federated') return assertionEnd(credential.assertionFile);
  return known ?? Number.POSITIVE_INFINITY;
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

function judgeEnd(
  what: string,
  end: number,
  now: number,
  {
    facts,
    soonDays,
    name,
  }: { readonly facts: Found['facts'] & object; readonly soonDays: number; readonly name: string },
): Found {
  const day = dayOf(end);
  if (day === undefined) return { says: `a ${what}; when it ends only the provider knows`, facts };
  if (end <= now)
    throw checkError('check.credential', `the ${what} of application ${name} ended on ${day}`, {
      detail: facts,
      hint: `make a new one at the provider and give it to Postern: postern application credential add ${shellWord(name)}`,
    });
  const says = `the ${what} is good until ${day}`;
  const days = Math.floor((end - now) / DAY_MS);
  if (days >= soonDays) return { says, facts };
  return {
    says,
    facts,
    warning: {
      id: 'credential.ends',
      cause: `the ${what} of application ${name} ends in ${days} days`,
      blame: 'operator',
      remedy: [
        {
          do: 'make a new one at the provider and give it to Postern beside the old one',
          run: `postern application credential add ${shellWord(name)}`,
        },
      ],
    },
  };
}

const dayOf = (at: number): string | undefined =>
  Number.isFinite(at) ? new Date(at).toISOString().slice(0, 10) : undefined;
