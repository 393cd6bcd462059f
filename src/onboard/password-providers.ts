/**
 * Providers whose IMAP and SMTP take no OAuth token from anybody's application: their own app passwords go into the mail
 * program, and Postern has nothing to do. Known so that people are told, instead of being led to register something.
 */
import type { Confidence, MailServer } from '../oauth/preset.ts';
import type { Protocol } from '../store/protocols.ts';

export interface PasswordProvider {
  readonly name: string;
  /** Mail domains. */
  readonly domains: RegExp;
  /** Mail exchangers of other people's domains at this provider; absent where it hosts none. */
  readonly exchangers?: RegExp;
  readonly mail: Partial<Readonly<Record<Protocol, MailServer>>>;
  /** Where its app password is made, in words. */
  readonly appPassword: string;
  readonly source: string;
  readonly confidence: Confidence;
}

const implicit = (host: string, port: number): MailServer => ({ host, port, tls: 'implicit' });
const starttls = (host: string, port: number): MailServer => ({ host, port, tls: 'starttls' });

export const passwordProviders: readonly PasswordProvider[] = [
  {
    name: 'iCloud Mail',
    domains: /^(?:icloud|me|mac)\.com$/,
    exchangers: /\.mail\.icloud\.com$/,
    mail: { imap: implicit('imap.mail.me.com', 993), smtp: starttls('smtp.mail.me.com', 587) },
    appPassword: 'account.apple.com > Sign-In and Security > App-Specific Passwords',
    source: 'support.apple.com: iCloud Mail server settings',
    confidence: 'vendor',
  },
  {
    name: 'GMX',
    domains: /^gmx\.(?:net|de|at|ch|com|co\.uk|fr|us|eu|org)$/,
    mail: {
      imap: implicit('imap.gmx.net', 993),
      pop3: implicit('pop.gmx.net', 995),
      smtp: implicit('mail.gmx.net', 465),
    },
    appPassword:
      'GMX > My account > Security > application-specific passwords; switch POP3 and IMAP on in the mail settings',
    source: 'Thunderbird autoconfig, GMX help',
    confidence: 'secondary',
  },
  {
    name: 'WEB.DE',
    domains: /^(?:web|email)\.de$/,
    mail: {
      imap: implicit('imap.web.de', 993),
      pop3: implicit('pop3.web.de', 995),
      smtp: starttls('smtp.web.de', 587),
    },
    appPassword:
      'WEB.DE > My account > Security > application-specific passwords; switch POP3 and IMAP on in the mail settings',
    source: 'Thunderbird autoconfig, WEB.DE help',
    confidence: 'secondary',
  },
  {
    name: 'T-Online',
    domains: /^(?:t-online|magenta)\.de$/,
    mail: {
      imap: implicit('secureimap.t-online.de', 993),
      pop3: implicit('securepop.t-online.de', 995),
      smtp: implicit('securesmtp.t-online.de', 465),
    },
    appPassword: 'the customer centre > password for e-mail programs',
    source: 'Thunderbird autoconfig',
    confidence: 'secondary',
  },
  {
    name: 'Zoho Mail',
    domains: /^zoho(?:mail)?\.(?:com|eu|in|com\.au|jp)$/,
    exchangers: /^mx\d?\.zoho(?:mail)?\.(?:com|eu|in|com\.au|jp)$/,
    mail: {
      imap: implicit('imap.zoho.com', 993),
      pop3: implicit('pop.zoho.com', 995),
      smtp: implicit('smtp.zoho.com', 465),
    },
    appPassword:
      'accounts.zoho.com > Security > App Passwords; the host names end in the data centre of the account (zoho.eu, zoho.in, …)',
    source: 'Thunderbird autoconfig; Zoho documents OAuth for its REST interface only',
    confidence: 'secondary',
  },
  {
    name: 'Yahoo Japan',
    domains: /^(?:yahoo\.co\.jp|ymail\.ne\.jp)$/,
    mail: {
      imap: implicit('imap.mail.yahoo.co.jp', 993),
      pop3: implicit('pop.mail.yahoo.co.jp', 995),
      smtp: implicit('smtp.mail.yahoo.co.jp', 465),
    },
    appPassword:
      'Yahoo! JAPAN mail settings > access by IMAP, POP and SMTP, where the password for mail programs is shown',
    source: 'Yahoo! JAPAN help; another company and other servers than Yahoo',
    confidence: 'secondary',
  },
];
