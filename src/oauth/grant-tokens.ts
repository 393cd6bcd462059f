/** The sealed half of a grant: its tokens. */
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import type { Grant } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import type { TokenAnswer } from './engine.ts';
import { oauthError } from './errors.ts';

export interface GrantTokens {
  readonly accessToken: Secret;
  readonly refreshToken: Secret | undefined;
  /** Milliseconds since the epoch. */
  readonly obtainedAt: number;
  readonly expiresAt: number;
  readonly scopes: readonly string[];
}

/** A renewal without a rotated token keeps the old one (RFC 6749 §6). */
export function tokensOf(
  answer: TokenAnswer,
  old: Pick<GrantTokens, 'refreshToken'> | undefined,
  now: number,
): GrantTokens {
  return {
    accessToken: answer.accessToken,
    refreshToken: answer.refreshToken ?? old?.refreshToken,
    obtainedAt: now,
    expiresAt: answer.expiresAt,
    scopes: answer.scopes,
  };
}

export function sealTokens(vault: Vault, grantId: string, tokens: GrantTokens): Promise<Uint8Array> {
  return vault.seal(
    recordOf(grantId),
    new Secret(
      JSON.stringify({
        ...tokens,
        accessToken: tokens.accessToken.reveal(),
        refreshToken: tokens.refreshToken?.reveal(),
      }),
    ),
  );
}

/** @throws vault.*, oauth.needs-consent (what was stored is not ours) */
export async function openTokens(vault: Vault, grant: Pick<Grant, 'id' | 'tokens'>): Promise<GrantTokens | undefined> {
  if (!grant.tokens) return undefined;
  const plain = await vault.open(recordOf(grant.id), grant.tokens);
  const parsed = stored.safeParse(JSON.parse(plain.reveal()));
  if (parsed.success) return { ...parsed.data, refreshToken: parsed.data.refreshToken };
  throw oauthError('oauth.needs-consent', 'the stored tokens of this grant are of an unknown form');
}

const secret = z.string().transform((text) => new Secret(text));
const stored = z.object({
  accessToken: secret,
  refreshToken: secret.optional(),
  obtainedAt: z.number(),
  expiresAt: z.number(),
  scopes: z.array(z.string()),
});

function recordOf(grantId: string): string {
  return `grant/${grantId}/tokens`;
}
