/**
 * Advice for the Microsoft sign-in errors (AADSTS numbers) people meet most. The numbers only choose the advice; what we do
 * follows from the OAuth `error` wherever that says enough, because Microsoft changes numbers without notice.
 */

/** `later`: passes by itself. `consent`: the person must sign in. `admin`: an administrator must act. `misconfigured`: our registration. */
export type AadstsAction = 'later' | 'consent' | 'admin' | 'misconfigured';

export interface Aadsts {
  readonly action: AadstsAction;
  readonly meaning: string;
  readonly advice: string;
}

/** The advice for the first known number, if any. */
export function aadstsAdvice(codes: readonly number[]): (Aadsts & { readonly code: number }) | undefined {
  for (const code of codes) {
    const row = TABLE.get(code);
    if (row) return { code, ...row };
  }
  return undefined;
}

const later = (meaning: string, advice = 'wait; Postern tries again by itself'): Aadsts => ({
  action: 'later',
  meaning,
  advice,
});
const consent = (meaning: string, advice = 'sign in again: postern mailbox reconsent ADDRESS'): Aadsts => ({
  action: 'consent',
  meaning,
  advice,
});
const admin = (meaning: string, advice: string): Aadsts => ({ action: 'admin', meaning, advice });
const misconfigured = (meaning: string, advice: string): Aadsts => ({ action: 'misconfigured', meaning, advice });

const deviceRule = admin(
  'a Conditional Access policy wants a managed or compliant device',
  'exclude this application from the policy, add a trusted location, or use an app-only flow; the sign-in log names the policy',
);
const mfa = consent(
  'multi-factor authentication is required',
  'sign in again in a browser and complete the second factor',
);
const revoked = consent('the sign-in was revoked, for instance by a password change');
const inactive = consent('the refresh token has expired because it was not used for too long');
const frequency = consent(
  'the organisation’s sign-in frequency policy asks for a new sign-in',
  'sign in again; ask for a longer sign-in frequency for this application, or use an app-only flow',
);
const wrongTenant = consent(
  'the account does not belong to this tenant',
  'sign in with an account of the tenant, or set its tenant',
);
const wrongApplication = misconfigured(
  'the client id is not known in this tenant',
  'check client id, tenant and cloud; admin consent creates the application in a tenant',
);
const assertion = misconfigured(
  'the client assertion was refused',
  'check that the uploaded certificate or federated credential matches issuer, subject and audience exactly, and the clock',
);
const otherCloud = misconfigured(
  'the tenant lives in another Microsoft cloud',
  'use the provider preset of that cloud',
);

/** Source: Microsoft’s error code reference and the notes in docs; wording ours. */
const TABLE: ReadonlyMap<number, Aadsts> = new Map<number, Aadsts>([
  ...[50000, 50033, 90006, 90012, 90024, 90033, 90090, 70012, 50087, 50088].map(
    (code) => [code, later('Microsoft’s sign-in service has a passing problem')] as const,
  ),
  [90055, later('the tenant is throttled')],
  [50196, later('Microsoft saw the same request in a loop', 'Postern waits for some minutes before it asks again')],
  ...[50072, 50074, 50076, 50078, 50079].map((code) => [code, mfa] as const),
  ...[50132, 50133, 50173].map((code) => [code, revoked] as const),
  ...[70008, 700082].map((code) => [code, inactive] as const),
  ...[70043, 70044, 70046].map((code) => [code, frequency] as const),
  ...[50020, 50177, 90072, 16003].map((code) => [code, wrongTenant] as const),
  ...[53000, 53001, 50097, 50129, 50131, 50155, 530003].map((code) => [code, deviceRule] as const),
  ...[70001, 700011, 700016].map((code) => [code, wrongApplication] as const),
  ...[50012, 50013, 500133, 50027, 700021, 700022, 700023, 700024, 700027, 700213].map(
    (code) => [code, assertion] as const,
  ),
  ...[90038, 900439, 900382, 900432].map((code) => [code, otherCloud] as const),
  [16000, consent('several accounts are signed in', 'sign in again and choose the account of the mailbox')],
  [50034, consent('the account does not exist in this tenant', 'check the address and the tenant')],
  [
    50053,
    consent('the account is locked or the address we come from is suspected', 'wait, then look at the sign-in log'),
  ],
  [50055, consent('the password has expired', 'change the password, then sign in again')],
  [50144, consent('the password has expired', 'change the password, then sign in again')],
  [50057, admin('the account is disabled', 'an administrator has to enable it')],
  [50105, admin('the account is not assigned to this application', 'assign it, or clear “assignment required”')],
  [50126, consent('wrong user name or password')],
  [50158, consent('another security check is waiting', 'sign in again in a browser')],
  [
    53002,
    admin('only approved applications are allowed', 'exclude this application from the policy or use an app-only flow'),
  ],
  [
    53009,
    admin('an app protection policy is required', 'exclude this application from the policy or use an app-only flow'),
  ],
  [
    53003,
    admin('blocked by a Conditional Access policy', 'the sign-in log names the policy; exclude this application there'),
  ],
  [
    530036,
    admin(
      'the grant came from a device code, which a policy now blocks',
      'sign in again with the browser: postern mailbox reconsent ADDRESS --flow authorization-code',
    ),
  ],
  [54005, consent('the authorization code was used before', 'start the sign-in again')],
  [
    65001,
    consent(
      'nobody has consented to these permissions yet',
      'sign in again and consent, or let an administrator consent',
    ),
  ],
  [65004, consent('the consent was declined', 'sign in again and accept the permissions')],
  [
    65005,
    misconfigured(
      'the registration lacks a permission',
      'add the Office 365 Exchange Online permissions to the registration',
    ),
  ],
  [
    650056,
    misconfigured(
      'the registration lacks a permission',
      'add the Office 365 Exchange Online permissions to the registration',
    ),
  ],
  [
    650057,
    misconfigured(
      'the registration lacks a permission',
      'add the Office 365 Exchange Online permissions to the registration',
    ),
  ],
  [650052, admin('the organisation has no subscription for this service', 'assign an Exchange Online licence')],
  [500011, misconfigured('Exchange Online is not present in this tenant', 'check tenant and cloud')],
  [
    500014,
    admin(
      'Exchange Online is disabled in this tenant',
      'enable “Office 365 Exchange Online” or renew its subscription',
    ),
  ],
  [
    50011,
    misconfigured(
      'the redirect address is not registered',
      'register it exactly as shown, under “Mobile and desktop applications”',
    ),
  ],
  [
    50194,
    misconfigured('the application is for one tenant only', 'set the tenant of the application to its directory id'),
  ],
  [70011, misconfigured('a scope is not valid', 'ask for the scopes of one service only, by their full URL')],
  [
    7000215,
    misconfigured('the client secret is wrong', 'store the secret’s value, not its id: postern provider add …'),
  ],
  [7000222, misconfigured('the client secret has expired', 'create a new one, or better use a certificate')],
  [7000112, admin('the application is disabled in the tenant', 'enable it under Enterprise applications')],
  [
    7000216,
    misconfigured('a client credential is missing', 'add one, or allow public client flows in the registration'),
  ],
  [
    7000218,
    misconfigured('a client credential is missing', 'add one, or allow public client flows in the registration'),
  ],
  [700025, misconfigured('a public client must not send a credential', 'remove the credential from the application')],
  [
    700084,
    consent(
      'the redirect address is registered as a single-page application, whose grants last a day',
      'register it under “Mobile and desktop applications”, then sign in again',
    ),
  ],
  [90002, misconfigured('the tenant does not exist', 'check the tenant and the cloud')],
  [90094, admin('an administrator has to consent', 'open the admin consent page of the application')],
  [
    90095,
    admin(
      'an administrator has to consent',
      'open the admin consent page, or send the request the sign-in page offers',
    ),
  ],
  [9001023, misconfigured('app-only tokens need a tenant', 'set the tenant of the application to its directory id')],
  [
    9002332,
    misconfigured('the application is for work accounts only', 'change its audience to include personal accounts'),
  ],
]);
