/** Whether something that was given out may still be used. */
export type Validity = 'valid' | 'expired' | 'revoked';

export function validityOf(
  { revokedAt, expiresAt }: { readonly revokedAt: number | undefined; readonly expiresAt: number | undefined },
  now: number,
): Validity {
  if (revokedAt !== undefined) return 'revoked';
  return expiresAt !== undefined && expiresAt <= now ? 'expired' : 'valid';
}
