/** What can be explained in plain words, beside errors. Written for the person who asks at a terminal, not for us. */

export interface Topic {
  readonly name: string;
  /** Other words people will try. */
  readonly also: readonly string[];
  readonly title: string;
  readonly text: readonly string[];
  /** What to run next. */
  readonly commands: readonly string[];
}

export const topics: readonly Topic[] = [
  {
    name: 'app-passwords',
    also: ['app-password', 'password', 'passwords'],
    title: 'App passwords: what mail programs sign in with',
    text: [
      'An app password is made by Postern for one program. It is no password of your account: it opens nothing but the mailboxes and protocols you name, only at this gateway, and you can revoke it alone.',
      'Give every program and device its own. Then a lost laptop or a printer that was replaced costs one app password and nothing else.',
      'It is shown once. Postern keeps a keyed hash of it, so nobody can read it back; make a new one instead of looking for the old.',
      'Bind it where you can: --protocols smtp for a printer, --network for what never moves, --expires for what is temporary.',
    ],
    commands: [
      'postern password add --mailbox ADDRESS --label PROGRAM',
      'postern password list',
      'postern password revoke LABEL',
    ],
  },
  {
    name: 'oauth',
    also: ['oauth2', 'oauth 2.0', 'oauth-2.0', 'modern-authentication', 'modern authentication', 'openid', 'oidc'],
    title: 'OAuth 2.0: why there are no passwords at the provider any more',
    text: [
      'The owner of a mailbox signs in at the provider’s own page and allows an application to use the mailbox. The provider gives the application tokens instead of a password: an access token for about an hour, and a refresh token for the next one.',
      'Postern is that application for programs that know passwords only: it keeps the tokens sealed, renews them, and signs in with them (SASL XOAUTH2 or OAUTHBEARER). The programs sign in at Postern with an app password.',
      'Consent can be withdrawn at the provider at any time, without changing a password.',
    ],
    commands: ['postern explain flows', 'postern explain consent', 'postern explain tokens'],
  },
  {
    name: 'backup',
    also: ['restore', 'recovery', 'copy', 'disaster'],
    title: 'Backup: what to copy, and what it needs to open again',
    text: [
      'Three things make an installation: postern.yaml, the state folder (database, local CA) and the master key. The database without the key opens nothing, so keep the key apart from the copies of the database.',
      'SQLite: copy with `sqlite3 postern.db ".backup copy.db"` while Postern runs, or the whole state folder while it is stopped; never the database file alone while it runs. PostgreSQL: pg_dump.',
      'Restore all three, start Postern, then `postern check`. The restored tokens may have been renewed since: where a provider rotates strictly, those mailboxes need a new consent. Never run the old and the restored installation at the same time: each would renew the other’s tokens away.',
    ],
    commands: ['postern check --installation', 'postern audit verify', 'postern mailbox list'],
  },
  {
    name: 'emergency',
    also: ['incident', 'breach', 'compromised', 'stolen', 'lockdown', 'lost-laptop'],
    title: 'Emergency: something was stolen or misused',
    text: [
      'A lost device or a leaked app password: revoke that app password. Its sessions end at once, everything else goes on.',
      'A mailbox that is being misused: suspend it; programs and the outbox get no tokens, and open sessions end. Then change the account’s password and withdraw the consent at the provider.',
      'The machine itself: stop Postern, withdraw the application’s consents at the provider (Microsoft: Entra ID > Enterprise applications > Permissions), replace its client secret or certificate, and set Postern up again. Tokens on the stolen disk are sealed; whoever also has the key can use them until they are withdrawn.',
      'What was done meanwhile is in the audit log; verify it before you rely on it.',
    ],
    commands: [
      'postern password revoke LABEL',
      'postern mailbox suspend ADDRESS',
      'postern audit show --mailbox ADDRESS',
      'postern audit verify',
    ],
  },
  {
    name: 'flows',
    also: ['flow', 'authorization-code', 'pkce', 'implicit', 'ropc'],
    title: 'Flows: the ways to get a grant, and which one fits',
    text: [
      'authorization-code (--flow browser): a person signs in with the system’s browser on this machine. The usual one. It satisfies multi-factor rules and Conditional Access, and PKCE makes a secret unnecessary.',
      'paste (--flow paste): the same where no browser runs here; the address the browser ends at is pasted back.',
      'device-code (--flow device): a code is typed on another device. Handy, but a favourite of phishers, and blocked by policy in many Microsoft tenants; see `postern explain device-code`.',
      'app-only (--flow app-only): the application signs in by itself with a certificate, a federated credential, a managed identity or a secret; nobody consents, an administrator decides which mailboxes it may open. For unattended machines.',
      'Refused: the password grant hands your account’s password to a program and cannot work with a second factor; the implicit grant puts tokens into the browser’s address bar. OAuth 2.1 dropped both.',
    ],
    commands: [
      'postern mailbox add ADDRESS',
      'postern mailbox add ADDRESS --flow app-only',
      'postern mailbox reconsent ADDRESS --flow browser',
    ],
  },
  {
    name: 'consent',
    also: ['consents', 'permission', 'permissions', 'reconsent', 'withdraw', 'revoke'],
    title: 'Consent: what you allow, and how to take it back',
    text: [
      'On the consent page the provider asks whether Postern’s application may read your mail (IMAP, POP3) or send as you (SMTP). Postern asks only for the protocols you named, and for renewal while you are away (offline access).',
      'Nothing else is needed. If the page lists contacts, files or a directory, something is wrong with the registration: decline and ask.',
      'The tokens stay sealed on this machine. Your password never passes through Postern.',
      'Take it back at the provider: myapplications.microsoft.com for work accounts, account.live.com/consent/Manage for personal ones, myaccount.google.com/connections for Google. `postern mailbox remove` forgets the tokens here, and revokes them where the provider takes that: Google and servers with a revocation endpoint do, Microsoft does not.',
      'When consent ends by itself (password changed, policy, long disuse) the mailbox shows needs-consent; consenting again restores it with app passwords and settings as they were.',
    ],
    commands: ['postern mailbox show ADDRESS', 'postern mailbox reconsent ADDRESS', 'postern mailbox remove ADDRESS'],
  },
  {
    name: 'admin-consent',
    also: ['administrator', 'aadsts90094', 'approval'],
    title: 'Administrator’s consent at Microsoft',
    text: [
      'Since November 2025 Microsoft’s default policy lets only administrators consent to applications that read Exchange mail. The first sign-in then ends with “needs admin approval” (AADSTS90094, 90095, 65001). That is normal.',
      'An administrator opens https://login.microsoftonline.com/TENANT/adminconsent?client_id=CLIENT-ID once and accepts; afterwards everybody in the tenant can consent for themselves, or is not asked at all.',
      'The administrator sees the same short list: IMAP, POP, SMTP, sign you in, keep access. It is worth reading.',
    ],
    commands: ['postern application show NAME', 'postern mailbox reconsent ADDRESS'],
  },
  {
    name: 'phishing',
    also: ['fraud', 'scam', 'security'],
    title: 'Phishing: how consent and codes are abused',
    text: [
      'OAuth phishing does not steal a password; it makes you allow a stranger’s application or sign a stranger in. The page is the provider’s real one, so looking at the address is not enough.',
      'Start the sign-in yourself. Consent only in a window that opened because you just ran a command or clicked in Postern. A link that came by mail, chat or telephone is not that.',
      'Read the name of the application and the list of permissions. Postern’s application has the name your organisation gave it and asks for mail protocols only.',
      'Never enter a device code that somebody else gave you, whoever they say they are.',
      'If you did: take the consent back (see `postern explain consent`), change the password, tell your administrator, who can end all sessions of the account.',
    ],
    commands: ['postern explain device-code', 'postern audit show'],
  },
  {
    name: 'device-code',
    also: ['device', 'device-flow', 'devicecode'],
    title: 'Device codes: convenient and dangerous',
    text: [
      'A device code signs in the machine that asked for it, not the one on which it is typed. Who sends you a code and makes you type it is signed in as you.',
      'Type a code only if you asked for it yourself a moment ago, on a machine you can see, at the address that machine showed.',
      'Microsoft blocks the flow by a managed policy in many tenants, and grants that began with a code may stop renewing later (AADSTS530036).',
      'So Postern offers it last. Use the browser, or paste, wherever you can.',
    ],
    commands: ['postern mailbox add ADDRESS --flow browser', 'postern mailbox add ADDRESS --flow paste'],
  },
  {
    name: 'scopes',
    also: ['scope', 'least-privilege', 'imap.accessasuser.all'],
    title: 'Scopes: what a token may do',
    text: [
      'Microsoft 365: https://outlook.office.com/IMAP.AccessAsUser.All, …/POP.AccessAsUser.All, …/SMTP.Send, and offline_access. Always by their full URL: the bare names give a token for Microsoft Graph, which the mail servers refuse.',
      'Google: https://mail.google.com/ for all three protocols. The finer Gmail scopes do not work with IMAP or SMTP.',
      'Postern asks for those of the mailbox’s protocols and nothing else, and tells when a token can do more. Adding a protocol later asks for consent to that one.',
      'App-only at Microsoft: the roles IMAP.AccessAsApp and POP.AccessAsApp with admin consent; SMTP best by Exchange’s own role “Application SMTP.SendAsApp” limited to the mailboxes that need it.',
    ],
    commands: ['postern check ADDRESS', 'postern mailbox reconsent ADDRESS --protocols imap,smtp'],
  },
  {
    name: 'tokens',
    also: ['token', 'refresh-token', 'access-token', 'expiry', 'renewal'],
    title: 'Tokens: how long they live and who renews them',
    text: [
      'An access token opens the mail servers for about an hour (Microsoft: 60 to 90 minutes). A refresh token gets the next one; at Microsoft it lives 90 days since its last use, at Google six months.',
      'Postern renews before the end, one process at a time, and stores the answer before anybody uses it, so that a crash loses nothing.',
      'A refresh token dies early when the password is changed or reset, an administrator ends sessions, or a policy wants a new sign-in. Then the mailbox needs consent again, and Postern says so.',
      'Exchange ends an IMAP session when its access token expires; Postern moves the program to a fresh session before that.',
    ],
    commands: ['postern mailbox list', 'postern check ADDRESS'],
  },
  {
    name: 'conditional-access',
    also: ['mfa', 'multi-factor', 'policy', 'compliant-device', 'security-defaults'],
    title: 'Conditional Access and multi-factor authentication',
    text: [
      'The organisation decides with policies who may sign in from where, on which device and how often. Postern meets them when it asks for a token; the error names the kind of policy, the sign-in log its name.',
      'A second factor is no obstacle: sign in with the browser once, the refresh token remembers it. A sign-in frequency policy ends it after its period.',
      'A policy that wants a compliant device or an approved application cannot be met by any gateway. Have the application or account excluded, allow this machine’s address as a trusted location, or use an app-only flow.',
    ],
    commands: ['postern explain 53003', 'postern explain 50076', 'postern check ADDRESS'],
  },
  {
    name: 'shared-mailboxes',
    also: ['shared', 'delegate', 'shared-mailbox', 'fullaccess', 'sendas'],
    title: 'Shared mailboxes',
    text: [
      'A shared mailbox has no sign-in of its own. Somebody with permission signs in, and Postern names the shared mailbox when it opens it.',
      'Reading needs FullAccess: Add-MailboxPermission -Identity SHARED -User PERSON -AccessRights FullAccess. Sending as it needs SendAs: Add-RecipientPermission -Identity SHARED -Trustee PERSON -AccessRights SendAs. New permissions take up to an hour.',
      'Without FullAccess Exchange accepts the sign-in and then says “User is authenticated but not connected”.',
    ],
    commands: ['postern mailbox add SHARED --shared-with PERSON', 'postern check SHARED'],
  },
  {
    name: 'app-only',
    also: [
      'client-credentials',
      'client credentials',
      'certificate',
      'service-principal',
      'client-secret',
      'managed-identity',
      'daemon',
    ],
    title: 'App-only access: mailboxes without a person',
    text: [
      'The application signs in as itself. At Microsoft it needs the roles IMAP.AccessAsApp or POP.AccessAsApp with admin consent, a service principal in Exchange (New-ServicePrincipal with the object id of the enterprise application, not of the registration), and permission for each mailbox (Add-MailboxPermission).',
      'For sending prefer Exchange’s role-based access: New-ManagementRoleAssignment -App CLIENT-ID -Role "Application SMTP.SendAsApp" with a scope of the mailboxes that need it.',
      'Prefer a certificate, a federated credential or a managed identity to a client secret: secrets are copied and expire unnoticed.',
      'Microsoft issues tokens without any role too; they fail only at the mail server. `postern check` looks into the token first.',
    ],
    commands: ['postern mailbox add ADDRESS --flow app-only', 'postern check ADDRESS'],
  },
  {
    name: 'smtp-auth',
    also: ['smtp', 'sending', 'submission', '5.7.139'],
    title: 'SMTP AUTH: sending through Exchange Online',
    text: [
      'Sign-in at SMTP can be switched off for the whole organisation and for each mailbox; tenants made after January 2020 have it off. It has to be on for the mailbox, also with OAuth.',
      'One mailbox: Set-CASMailbox -Identity ADDRESS -SmtpClientAuthenticationDisabled $false. This wins over the organisation’s setting.',
      'The sender must be the mailbox itself or one it has SendAs for. Limits: 30 messages a minute, three connections at once, 10,000 recipients a day.',
      'Exchange keeps a copy of what is sent in Sent Items by itself; switch the copy off in the mail program, or there are two.',
    ],
    commands: ['postern check ADDRESS', 'postern explain limits'],
  },
  {
    name: 'ports',
    also: ['settings', 'client', 'imap', 'pop3', 'server', 'port'],
    title: 'What to enter in a mail program',
    text: [
      'User name: the address of the mailbox. Password: an app password. Sign-in method: normal password.',
      'Defaults, all on this machine: IMAP 1993 with TLS or 1143, POP3 1995 with TLS or 1110, SMTP 1465 with TLS or 1587. The plain ports offer STARTTLS and answer on this machine only.',
      'The certificate comes from a local CA unless you gave your own; let the mail program trust tls/ca.pem in the state folder.',
    ],
    commands: ['postern password add --mailbox ADDRESS --label PROGRAM', 'postern serve'],
  },
  {
    name: 'tls',
    also: ['certificate-errors', 'ca', 'starttls', 'encryption'],
    title: 'TLS: what Postern insists on',
    text: [
      'Towards providers: TLS 1.2 or later, certificates verified against the system’s authorities, names compared, STARTTLS never skipped. What fails there is never worked around.',
      'A private authority is trusted for one application only (its ca setting), or a fingerprint is pinned.',
      'A company proxy that opens TLS has a CA of its own: let Node trust it with NODE_EXTRA_CA_CERTS=FILE. Never set NODE_TLS_REJECT_UNAUTHORIZED=0; `postern check` reports it as a failure.',
      'Towards mail programs: TLS from the first byte or STARTTLS; plain text only on this machine.',
      'A program or device without TLS 1.2 is turned away, and the log says so: postern explain program-tls.',
    ],
    commands: ['postern explain program-tls', 'postern check', 'postern check ADDRESS'],
  },
  {
    name: 'program-tls',
    also: ['tls.program', 'old-tls', 'legacy-tls'],
    title: 'A mail program or device that cannot begin TLS with Postern',
    text: [
      'The log has one line an hour for each address, with the reason and what to do (code tls.program); postern check tells of devices that were turned away in the last day.',
      'old-version: it speaks nothing newer than TLS 1.0 or 1.1. Look for newer firmware, or for TLS 1.2 in its settings. Where it uses STARTTLS, the port where TLS begins at once may work. A device that stays old may send in plain text to the listener for devices, in a network you trust: outbox.devices, and outbox.devices.tls: plain for one that uses STARTTLS whenever it is offered.',
      'no-common-cipher: allow it AES-GCM with ECDHE, the curves X25519, P-256 or P-384, and signatures with SHA-256, or look for newer firmware. A certificate of your own with an RSA key helps where it does not know ECDSA.',
      'certificate-refused: import ca.pem of the state folder there, or give Postern a certificate that it trusts, for the name it connects to (hostname in postern.yaml).',
      'not-tls: it speaks plain text to a port where TLS begins at once. Choose “SSL/TLS” in its settings, or the port where STARTTLS is offered.',
    ],
    commands: ['postern explain devices', 'postern check', 'postern audit show --type session.ended'],
  },
  {
    name: 'secrets',
    also: ['vault', 'key', 'encryption-at-rest', 'storage'],
    title: 'Where secrets are kept',
    text: [
      'Tokens and client credentials are sealed one by one with keys of their own (AES-256-GCM); those keys are wrapped by the master key. The database alone is worth nothing.',
      'The master key lies in a file only its owner may read, or comes from a passphrase, the environment or a systemd credential.',
      'Logs, errors and support bundles are searched for every live secret by value before they are written.',
    ],
    commands: ['postern check --installation', 'postern support-bundle'],
  },
  {
    name: 'basic-authentication',
    also: ['basic', 'basic-auth', 'legacy', 'xoauth2', 'oauthbearer'],
    title: 'Why passwords stopped working at the provider',
    text: [
      'Exchange Online ended password sign-in (“Basic authentication”) for IMAP and POP3 in 2022, Outlook.com in 2024, Google Workspace in 2025. SMTP at Exchange follows: off by default from the end of 2026.',
      'Programs have to present an OAuth token instead (SASL XOAUTH2 or OAUTHBEARER). Those that cannot sign in at Postern with an app password, and Postern presents the token.',
    ],
    commands: ['postern explain calendar', 'postern explain app-passwords'],
  },
  {
    name: 'google',
    also: ['gmail', 'workspace'],
    title: 'Google accounts',
    text: [
      'Everybody registers a client of their own: type “Desktop app”, scope https://mail.google.com/. In Workspace make the consent screen “Internal”: nothing else is needed.',
      'For personal accounts publish the consent screen (“In production”, unverified, up to 100 people). In “Testing” every grant ends after seven days.',
      'A changed password ends grants with mail scopes. IMAP or POP3 may have to be switched on in Gmail’s settings.',
    ],
    commands: [
      'postern application add NAME --preset google --client-id CLIENT-ID --client-secret-file FILE',
      'postern explain google.grant-ended',
    ],
  },
  {
    name: 'outlook',
    also: ['outlook.com', 'hotmail', 'personal'],
    title: 'Personal Microsoft accounts (Outlook.com, Hotmail, Live)',
    text: [
      'They need a registration too, and registering needs a directory: a free Entra tenant will do. Let the application accept personal accounts.',
      'POP3 and IMAP are off by default in a personal account’s settings: outlook.live.com > Settings > Mail > Forwarding and IMAP.',
      'Their tokens are opaque; `postern check` cannot look into them.',
    ],
    commands: ['postern application add NAME --preset outlook --client-id CLIENT-ID', 'postern mailbox add ADDRESS'],
  },
  {
    name: 'outbox',
    also: ['queue', 'delivery', 'held', 'retry'],
    title: 'The outbox: mail accepted first and delivered then',
    text: [
      'Normally a program waits while its mail is passed to the provider. For devices and scripts the outbox is better: Postern takes the message, makes it durable, says yes at once, and delivers within the provider’s limits.',
      'What passes by itself is tried again until the deadline; what was refused for good comes back to the sender as a report. `postern outbox show` tells why a message waits or failed, and what to do.',
      'It is switched on for a mailbox, or for one app password only.',
    ],
    commands: ['postern mailbox set ADDRESS --outgoing outbox', 'postern outbox list', 'postern outbox show ID'],
  },
  {
    name: 'devices',
    also: ['printer', 'printers', 'scanner', 'scanners', 'scan-to-mail', 'old-devices', 'ups', 'nas'],
    title: 'Printers, scanners and other devices that send mail',
    text: [
      'A device that can sign in by SMTP is a mail program like any other: give it an app password for SMTP only, bound to its network, and let the outbox take its mail.',
      'One that cannot sign in, or speaks no TLS 1.2, is known by its network alone: outbox.devices in postern.yaml names who may send from where, as which mailbox, and how much an hour. It is off unless it is set up, and postern check warns of it.',
      'docs/outbox.md has an example; docs/operations.md says what to do about old TLS.',
    ],
    commands: [
      'postern password add --mailbox ADDRESS --label PRINTER --protocols smtp --network NETWORK',
      'postern mailbox set ADDRESS --outgoing outbox',
      'postern check --installation',
    ],
  },
  {
    name: 'registration',
    also: ['register', 'application', 'client-id', 'entra', 'azure'],
    title: 'Registering an application at the provider',
    text: [
      'Providers give tokens to registered applications only. Register your own: borrowed client ids of other programs are blocked sooner or later, and their owner can take them away.',
      '`postern register` prints every step with its reason and its check, for Microsoft also as commands of the Azure CLI, and with --apply carries them out. It asks for the least that your protocols need.',
      '`postern register microsoft --verify` looks later whether all of it took effect.',
    ],
    commands: ['postern register microsoft --tenant TENANT', 'postern register google', 'postern application list'],
  },
  {
    name: 'diagnosis',
    also: ['check', 'support', 'help', 'support-bundle', 'troubleshooting'],
    title: 'When something does not work',
    text: [
      '`postern check ADDRESS` walks every step from the name of the server to the first command after sign-in and says what is wrong first. `postern check` looks at this installation and all mailboxes.',
      '`postern explain` takes any code: AADSTS numbers, OAuth errors, Postern’s own codes, a whole reply line in quotes.',
      '`postern support-bundle` collects what somebody needs to help, without secrets and without mail.',
    ],
    commands: [
      'postern check ADDRESS',
      'postern explain "535 5.7.3 Authentication unsuccessful"',
      'postern support-bundle',
    ],
  },
];
