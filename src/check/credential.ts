/** The credential our application shows at the provider, and how long it will do. */
import type { PosternError } from '../base/error.ts';
import { shellWord } from '../base/shell.ts';
import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose/jwt/decode';
import { type ClientCredential, openCredentials } from '../oauth/application.ts';
import { diagnose, type Facts } from '../oauth/catalogue/diagnose.ts';
import { countdown, credentialOutlook, dayOf, endToTell } from '../oauth/credential-ends.ts';
import { CREDENTIAL_WARNING_DAYS } from '../oauth/health.ts';
import type { Application, CredentialFacts } from '../store/types.ts';
import { checkError } from './errors.ts';
import { DAY_MS, type Found, operatorWarning } from './step.ts';
import type { CheckDeps } from './types.ts';

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
    held.map(async ({ facts, credential }): Promise<CredentialFacts> => {
      const end = credential.type === 'federated' ? await assertionEnd(credential.assertionFile) : undefined;
      return end === undefined ? facts : { ...facts, expiresAt: end };
    }),
  );
  const facts = {
    application: application.name,
    credentials: all.map(({ id, type, expiresAt }) => ({
      id,
      type,
      until: expiresAt === undefined ? null : dayOf(expiresAt),
    })),
  };
  return judge(application.name, all, facts, now);
}

function judge(name: string, all: readonly CredentialFacts[], facts: Found['facts'] & object, now: number): Found {
  const outlook = credentialOutlook(all);
  const [first] = all;
  if (outlook.type !== 'known') {
    const says = outlook.type === 'endless' ? 'which has no end' : 'when it ends only the provider knows';
    return { says: `a ${NAMES[first!.type]}; ${says}`, facts };
  }
  const { undated, last } = outlook;
  const { expiresAt: end } = last;
  const what = NAMES[last.type];
  if (end <= now && undated === 'none')
    throw checkError('check.credential', `the ${what} of application ${name} ended on ${dayOf(end)}`, {
      detail: facts,
      hint: `make a new one at the provider and give it to Postern: postern application credential add ${shellWord(name)}`,
    });
  const others =
    undated === 'none' ? '' : `; when ${all.length > 2 ? 'others end' : 'another one ends'} only the provider knows`;
  const says =
    end <= now
      ? `a ${what} ended on ${dayOf(end)}${others}`
      : `the ${what} is good until ${dayOf(end)}, ${countdown(end, now)}${others}`;
  const told = endToTell(all, now);
  if (!told || last.type === 'federated' || end - now > CREDENTIAL_WARNING_DAYS[0] * DAY_MS) return { says, facts };
  return {
    says,
    facts,
    warning: operatorWarning(
      'credential.ends',
      `the ${what} of application ${name} ends on ${dayOf(end)}, ${countdown(end, now)}${others}`,
      {
        do: 'make a new one at the provider and give it to Postern beside the old one, with the day on which it ends',
        run: `postern application credential add ${shellWord(name)} --client-secret-file FILE --secret-expires DATE`,
      },
      ...(undated === 'none'
        ? []
        : [
            {
              do: 'or, if another one that Postern has lasts longer, say so',
              run: `postern application credential set ${shellWord(name)} ${shellWord(all.find(({ expiresAt }) => expiresAt === undefined)!.id)} --secret-expires DATE`,
            },
          ]),
    ),
  };
}

async function assertionEnd(file: string): Promise<number | undefined> {
  try {
    const { exp } = decodeJwt((await readFile(file, 'utf8')).trim());
    return exp === undefined ? undefined : exp * 1000;
  } catch (cause) {
    throw checkError('check.credential', `the federated assertion ${file} cannot be read`, {
      hint: `see that the platform writes a JWT there and that this user may read it: ls -l ${file}`,
      detail: { file },
      cause,
    });
  }
}

/** Credentials that the provider refused while another one did: what is wrong with them stays to be put right before that ends too. */
export function judgeRefused(
  { name, credentials = [] }: Pick<Application, 'name' | 'credentials'>,
  refused: readonly (readonly [id: string, error: PosternError])[],
  facts: Facts,
): Found {
  const [id, error] = refused[0]!;
  const type = credentials.find((one) => one.id === id)?.type;
  const what = type === undefined ? 'credential' : NAMES[type];
  const { cause, blame, remedy, sources } = diagnose(error, facts);
  return {
    says: `the provider refuses the ${what} ${id} of application ${name}, so the next one is used: ${error.message}`,
    facts: { application: name, refused: refused.map(([credential, { code }]) => ({ credential, code })) },
    warning: {
      id: 'credential.refused',
      cause: `the provider refuses the ${what} ${id} of application ${name}, and the next one is used: ${cause}`,
      blame,
      remedy: [
        ...remedy,
        {
          do: 'remove the refused one when another has taken its place',
          run: `postern application credential remove ${shellWord(name)} ${shellWord(id)}`,
        },
      ],
      sources,
    },
  };
}
