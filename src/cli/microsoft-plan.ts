/** What the options of `postern register microsoft` ask for, and what its printed and its applied form both say. */
import { writeFileSync } from 'node:fs';
import { readFlow } from '../oauth/flows.ts';
import type { CloudName } from '../oauth/preset.ts';
import { type Accounts, type Plan, planRegistration } from '../onboard/register/plan.ts';
import type { Flow } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { Context } from './context.ts';
import type { SettingsOptions } from './new-application.ts';

export interface MicrosoftOptions extends SettingsOptions {
  readonly name: string;
  readonly application: string;
  readonly flow?: string;
  readonly protocols: readonly Protocol[];
  readonly cloud: CloudName;
  readonly accounts: Accounts;
  readonly tenant?: string;
  readonly smtpBy: 'role-assignment' | 'permission';
  readonly graph?: true;
  readonly mailbox?: readonly string[];
  readonly group?: string;
  readonly clientId?: string;
  readonly certificate?: string;
  readonly privateKey?: string;
  readonly federatedIssuer?: string;
  readonly federatedSubject?: string;
  readonly assertionFile?: string;
  readonly managedIdentity?: string;
  readonly exchangeScript?: string;
  readonly apply?: true;
  readonly adminConsent?: true;
  readonly verify?: true;
}

export function planOf(options: MicrosoftOptions, flow = flowOf(options.flow)): Plan {
  const { federatedIssuer: issuer, federatedSubject: subject } = options;
  return planRegistration({
    name: options.name,
    flow,
    protocols: options.protocols,
    cloud: options.cloud,
    accounts: options.accounts,
    smtpBy: options.smtpBy,
    mailboxes: options.mailbox ?? [],
    graph: options.graph === true,
    ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
    ...(options.group === undefined ? {} : { group: options.group }),
    ...(options.managedIdentity === undefined ? {} : { managedIdentity: options.managedIdentity }),
    ...(issuer === undefined || subject === undefined ? {} : { federated: { issuer, subject } }),
  });
}

export function flowOf(way = 'browser'): Flow {
  if (way === 'browser') return 'authorization-code';
  if (way === 'device') return 'device-code';
  return way === 'app-only' ? 'certificate' : readFlow(way);
}

/** What the person sees when it worked looks like a failure. */
export const afterConsent = (page: string): readonly string[] =>
  page.includes('/adminconsent?')
    ? ['(the browser ends at a localhost address that does not load and says admin_consent=True: then it worked)']
    : [];

export function saveExchangeScript(context: Context, { exchangeScript: file }: MicrosoftOptions, text: string): void {
  if (file === undefined) return;
  writeFileSync(file, text);
  context.say(`the Exchange script is in ${file}: pwsh ${file}`);
}
