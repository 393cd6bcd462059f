/** Registering at Google, which offers no program for it: the steps, with the two choices that decide how long grants live. */

export interface GoogleRequest {
  readonly name: string;
  /** `workspace`: people of one Workspace organisation. `personal`: any Gmail account. */
  readonly accounts: 'workspace' | 'personal';
}

/** Sources: developers.google.com (OAuth consent, restricted scopes, XOAUTH2 mechanism), support.google.com/a (access control). */
export function googleSteps({ name, accounts }: GoogleRequest): readonly string[] {
  return [
    'https://console.cloud.google.com → New project (or choose one). No API has to be switched on for IMAP, POP3 and SMTP.',
    accounts === 'workspace'
      ? `Google Auth Platform → Get started. App name: ${name}. Audience: Internal. Only people of your Workspace can use it; there is no review, no warning and no seven-day limit.`
      : `Google Auth Platform → Get started. App name: ${name}. Audience: External. Then Audience → Publish app (In production): while it is in Testing every grant ends after seven days. Unverified, up to 100 people can use it; each sees a warning once, and goes on under Advanced.`,
    'Data Access → Add or remove scopes → add https://mail.google.com/ (restricted; narrower Gmail scopes do not work with IMAP, POP3 and SMTP), openid and email.',
    'Clients → Create client → Application type: Desktop app. Copy the client id and the client secret. The secret of a desktop client is not confidential, but Google asks for it.',
    ...(accounts === 'workspace'
      ? [
          'https://admin.google.com → Security → Access and data control → API controls → Manage app access → Configure new app: search for the client id, choose Trusted. Needed where unconfigured apps are blocked.',
          'https://admin.google.com → Apps → Google Workspace → Gmail → End User Access → POP and IMAP access: on for the people concerned.',
        ]
      : [
          'Each person: Gmail → Settings → Forwarding and POP/IMAP. IMAP is always on in personal accounts; POP is switched on here.',
        ]),
  ];
}
