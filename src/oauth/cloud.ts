/** What differs between Microsoft's clouds. An application is registered separately in each. */
import { presetById } from './providers.ts';
import type { MicrosoftPreset } from './providers.ts';
import { oauthError } from './errors.ts';

export interface Cloud {
  /** The preset of {@link presetById}. */
  readonly preset: string;
  readonly name: string;
  readonly graph: string;
  /** Admin centre in which applications are registered. */
  readonly portal: string;
  /** `az cloud set --name`; undefined where the Azure CLI knows no cloud with this Graph. */
  readonly az: string | undefined;
  /** `Connect-ExchangeOnline -ExchangeEnvironmentName`; the default needs none. */
  readonly exchange: string | undefined;
  /** `az ad app permission admin-consent` exists in the public cloud only (Azure CLI, command module role). */
  readonly azConsents: boolean;
}

export const clouds: Readonly<Record<'global' | 'gcc-high' | 'dod' | 'china', Cloud>> = {
  global: {
    preset: 'microsoft',
    name: 'Microsoft 365 (worldwide and GCC)',
    graph: 'https://graph.microsoft.com',
    portal: 'https://entra.microsoft.com',
    az: 'AzureCloud',
    exchange: undefined,
    azConsents: true,
  },
  'gcc-high': {
    preset: 'microsoft-gcc-high',
    name: 'Microsoft 365 GCC High',
    graph: 'https://graph.microsoft.us',
    portal: 'https://entra.microsoft.us',
    az: 'AzureUSGovernment',
    exchange: 'O365USGovGCCHigh',
    azConsents: false,
  },
  dod: {
    preset: 'microsoft-dod',
    name: 'Microsoft 365 DoD',
    graph: 'https://dod-graph.microsoft.us',
    portal: 'https://entra.microsoft.us',
    // Its AzureUSGovernment asks graph.microsoft.us, which is GCC High's.
    az: undefined,
    exchange: 'O365USGovDoD',
    azConsents: false,
  },
  china: {
    preset: 'microsoft-china',
    name: 'Microsoft 365 operated by 21Vianet',
    graph: 'https://microsoftgraph.chinacloudapi.cn',
    portal: 'https://portal.azure.cn',
    az: 'AzureChinaCloud',
    exchange: 'O365China',
    azConsents: false,
  },
};
export type CloudName = keyof typeof clouds;

/** @throws oauth.unknown-provider when no preset of Microsoft's stands behind this cloud */
export function presetOf(cloud: Cloud): MicrosoftPreset {
  const preset = presetById(cloud.preset);
  if (preset?.family === 'microsoft') return preset;
  throw oauthError('oauth.unknown-provider', `there is no Microsoft preset ${cloud.preset}`);
}
