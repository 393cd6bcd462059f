/** How an application at a provider comes to be: the command that registers it. */
import { shellWord } from '../../base/shell.ts';
import { presetById } from '../../oauth/providers.ts';

/**
 * @param preset id of a preset
 * @param where `tenant`: the organisation, a verified domain or its id; `issuer`: of a server without preset
 * @returns a command line of `postern`, with placeholders in capitals for what is not known
 */
export function registerCommand(
  preset: string,
  where: { readonly tenant?: string | undefined; readonly issuer?: string | undefined },
): string {
  const known = presetById(preset);
  if (known?.family === 'microsoft') {
    if (known.accounts === 'personal') return 'postern register microsoft --accounts personal';
    const cloud = known.cloud === 'global' ? '' : ` --cloud ${known.cloud}`;
    return `postern register microsoft${cloud} --tenant ${shellWord(where.tenant ?? 'TENANT')}`;
  }
  if (known?.register === 'google') return 'postern register google';
  if (known?.register === 'oidc') return `postern register oidc ${shellWord(where.issuer ?? 'ISSUER')}`;
  return `postern application add NAME --preset ${shellWord(preset)} --client-id CLIENT_ID`;
}

/** @returns the tenant an address's own domain stands for, where the provider has tenants */
export function tenantOf(preset: string, domain: string): string | undefined {
  const known = presetById(preset);
  return known?.family === 'microsoft' && known.accounts === 'organization' ? domain : undefined;
}
