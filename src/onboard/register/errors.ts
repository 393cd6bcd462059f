/** Codes of registering an application. */
import { errorTable } from '../../base/error.ts';

export const registerError = errorTable({
  misuse: {
    'register.az-missing':
      'install the Azure CLI (https://aka.ms/azure-cli), use the Cloud Shell of the portal, or leave --apply out and follow the printed steps',
    'register.wrong-cloud': 'switch the Azure CLI to the cloud of the organisation: az cloud set --name NAME',
    'register.wrong-tenant': 'sign in to the other directory: az login --tenant TENANT --allow-no-subscriptions',
    'register.ambiguous': 'choose another --name, or remove what is not needed in the portal',
    'register.incomplete': 'postern register microsoft --help names every option with an example',
  },
  denied: {
    'register.az-signed-out': 'sign in as an administrator of the directory: az login --allow-no-subscriptions',
    'register.not-allowed':
      'registering needs the role Application Developer or Cloud Application Administrator, consent for everybody Privileged Role Administrator; ask somebody who has it, or send them the printed steps',
  },
  refused: {
    'register.az-refused': 'the Azure CLI’s own words are above; run the printed command to see more',
    'register.no-exchange':
      'this directory has no Exchange Online: use the directory that holds the mailboxes (az login --tenant TENANT)',
    'register.not-offered':
      'ask who runs the authorization server for a native client with redirect URI http://localhost/, then: postern application add NAME --preset oidc --issuer ISSUER --client-id ID',
    'register.refused':
      'the server’s own words are above; some servers want an initial access token: --initial-token-file FILE',
  },
  garbled: {
    'register.az-garbled':
      'the Azure CLI answered something else than expected; update it (az upgrade) or follow the printed steps',
  },
});
