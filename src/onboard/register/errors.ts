/** Codes of registering an application. */
import { errorTable } from '../../base/error.ts';

export const registerError = errorTable({
  'register.az-missing': {
    kind: 'misuse',
    hint: 'install the Azure CLI (https://aka.ms/azure-cli), use the Cloud Shell of the portal, or leave --apply out and follow the printed steps',
  },
  'register.az-signed-out': {
    kind: 'denied',
    hint: 'sign in as an administrator of the directory: az login --allow-no-subscriptions',
  },
  'register.not-allowed': {
    kind: 'denied',
    hint: 'registering needs the role Application Developer or Cloud Application Administrator, consent for everybody Privileged Role Administrator; ask somebody who has it, or send them the printed steps',
  },
  'register.az-refused': {
    kind: 'refused',
    hint: 'the Azure CLI’s own words are above; run the printed command to see more',
  },
  'register.az-garbled': {
    kind: 'garbled',
    hint: 'the Azure CLI answered something else than expected; update it (az upgrade) or follow the printed steps',
  },
  'register.wrong-cloud': {
    kind: 'misuse',
    hint: 'switch the Azure CLI to the cloud of the organisation: az cloud set --name NAME',
  },
  'register.wrong-tenant': {
    kind: 'misuse',
    hint: 'sign in to the other directory: az login --tenant TENANT --allow-no-subscriptions',
  },
  'register.ambiguous': { kind: 'misuse', hint: 'choose another --name, or remove what is not needed in the portal' },
  'register.no-exchange': {
    kind: 'refused',
    hint: 'this directory has no Exchange Online: use the directory that holds the mailboxes (az login --tenant TENANT)',
  },
  'register.incomplete': {
    kind: 'misuse',
    hint: 'postern register microsoft --help names every option with an example',
  },
  'register.not-offered': {
    kind: 'refused',
    hint: 'ask who runs the authorization server for a native client with redirect URI http://localhost/, then: postern application add NAME --preset oidc --issuer ISSUER --client-id ID',
  },
  'register.refused': {
    kind: 'refused',
    hint: 'the server’s own words are above; some servers want an initial access token: --initial-token-file FILE',
  },
});
