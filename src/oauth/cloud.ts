/** What differs between Microsoft's clouds. An application is registered separately in each. */
import type { CloudName } from './preset.ts';

export interface Cloud {
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

export const clouds: Readonly<Record<CloudName, Cloud>> = {
  global: {
    name: 'Microsoft 365 (worldwide and GCC)',
    graph: 'https://graph.microsoft.com',
    portal: 'https://entra.microsoft.com',
    az: 'AzureCloud',
    exchange: undefined,
    azConsents: true,
  },
  'gcc-high': {
    name: 'Microsoft 365 GCC High',
    graph: 'https://graph.microsoft.us',
    portal: 'https://entra.microsoft.us',
    az: 'AzureUSGovernment',
    exchange: 'O365USGovGCCHigh',
    azConsents: false,
  },
  dod: {
    name: 'Microsoft 365 DoD',
    graph: 'https://dod-graph.microsoft.us',
    portal: 'https://entra.microsoft.us',
    // Its AzureUSGovernment asks graph.microsoft.us, which is GCC High's.
    az: undefined,
    exchange: 'O365USGovDoD',
    azConsents: false,
  },
  china: {
    name: 'Microsoft 365 operated by 21Vianet',
    graph: 'https://microsoftgraph.chinacloudapi.cn',
    portal: 'https://portal.azure.cn',
    az: 'AzureChinaCloud',
    exchange: 'O365China',
    azConsents: false,
  },
};
