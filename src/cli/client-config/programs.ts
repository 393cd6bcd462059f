/** Ready configuration for mail programs. Each is tried with the real program by test/interop/client-config.test.ts where it is free software. */
import { lines } from '../../base/lines.ts';
import { type ClientConfig, type ClientSettings, type Door, inUrl, type Security } from './settings.ts';
import { type Protocol, PROTOCOLS } from '../../store/protocols.ts';
import { forCurl, forNodemailer, forPhp, forPostfix, forPython } from './code.ts';
import { listenersYaml } from '../../server/config-listeners.ts';

export interface MailProgram {
  readonly title: string;
  /** What it uses; at least one must be open. */
  readonly protocols: readonly Protocol[];
  /** Of these only some, unless others are asked for. */
  readonly usual?: readonly Protocol[];
  /** On another machine than the gateway. */
  readonly elsewhere?: true;
  /** Kinds of connection it can be told to make. */
  readonly can?: readonly Security[];
  readonly write: (settings: ClientSettings) => ClientConfig;
}

const PRIVATE = 'the file holds a password: chmod 600';

export const programs: Readonly<Record<string, MailProgram>> = {
  mutt: { title: 'mutt and NeoMutt', protocols: ['imap', 'smtp'], write: forMutt },
  msmtp: { title: 'msmtp', protocols: ['smtp'], write: forMsmtp },
  mbsync: { title: 'mbsync (isync)', protocols: ['imap'], write: forMbsync },
  fetchmail: { title: 'fetchmail', protocols: ['imap', 'pop3'], write: forFetchmail },
  getmail: { title: 'getmail6', protocols: ['imap', 'pop3'], can: ['tls', 'plain'], write: forGetmail },
  postfix: {
    title: 'Postfix as this machine’s mail server',
    protocols: ['smtp'],
    can: ['tls', 'starttls'],
    write: forPostfix,
  },
  thunderbird: { title: 'Thunderbird', protocols: PROTOCOLS, write: forThunderbird },
  outlook: {
    title: 'Outlook (classic) and other programs with a dialogue',
    protocols: PROTOCOLS,
    write: forOutlook,
  },
  printer: {
    title: 'a printer, scanner or ticket system',
    protocols: ['smtp', 'imap', 'pop3'],
    usual: ['smtp'],
    elsewhere: true,
    can: ['tls', 'starttls'],
    write: forPrinter,
  },
  python: { title: 'Python (imaplib, smtplib)', protocols: ['imap', 'smtp'], write: forPython },
  php: { title: 'PHP (imap_open)', protocols: ['imap', 'pop3'], can: ['tls', 'plain'], write: forPhp },
  nodemailer: { title: 'nodemailer', protocols: ['smtp'], write: forNodemailer },
  curl: { title: 'curl', protocols: PROTOCOLS, write: forCurl },
};

function forMutt({ address, password, imap, smtp, ca }: ClientSettings): ClientConfig {
  const user = encodeURIComponent(address);
  const one = imap ?? smtp;
  const s = (door: Door): string => (door.security === 'tls' ? 's' : '');
  return {
    file: '~/.muttrc (NeoMutt: ~/.config/neomutt/neomuttrc)',
    lines: lines(
      imap && [
        `set folder = ${expanded(`imap${s(imap)}://${user}@${inUrl(imap)}/`)}`,
        'set spoolfile = "+INBOX"',
        `set imap_user = ${expanded(address)}`,
        `set imap_pass = ${expanded(password)}`,
      ],
      smtp && [
        `set smtp_url = ${expanded(`smtp${s(smtp)}://${user}@${inUrl(smtp)}/`)}`,
        `set smtp_pass = ${expanded(password)}`,
      ],
      `set from = ${expanded(address)}`,
      'set use_envelope_from = yes',
      // Exchange keeps a copy of what is submitted: a second one would be a duplicate.
      'set record = ""',
      `set ssl_starttls = ${one?.security === 'starttls' ? 'yes' : 'no'}`,
      `set ssl_force_tls = ${one?.security === 'plain' ? 'no' : 'yes'}`,
      ca !== undefined && `set ssl_ca_certificates_file = ${expanded(ca)}`,
    ),
    notes: [PRIVATE, 'record is empty because Microsoft and Google keep a copy of sent mail themselves'],
  };
}

function forMsmtp({ address, password, smtp, ca }: ClientSettings): ClientConfig {
  return {
    file: '~/.msmtprc',
    lines: [
      'defaults',
      'auth plain',
      `tls ${smtp?.security === 'plain' ? 'off' : 'on'}`,
      `tls_starttls ${smtp?.security === 'starttls' ? 'on' : 'off'}`,
      ...(ca === undefined ? [] : [`tls_trust_file ${enclosed(ca)}`]),
      '',
      'account postern',
      `host ${smtp?.host ?? ''}`,
      `port ${smtp?.port ?? ''}`,
      `from ${enclosed(address)}`,
      `user ${enclosed(address)}`,
      `password ${enclosed(password)}`,
      '',
      'account default : postern',
    ],
    notes: [
      PRIVATE,
      'programs that call sendmail use it with: sendmail → /usr/bin/msmtp; for cron and others that write root as the author add: set_from_header on. Whoever also gives -f root@HOST (mail of mailutils) is refused: link the command itself as sendmail for those (docs/outbox.md)',
    ],
  };
}

function forMbsync({ address, password, imap, ca }: ClientSettings): ClientConfig {
  const folder = `~/Mail/${address}/`;
  const security = { tls: 'IMAPS', starttls: 'STARTTLS', plain: 'None' }[imap?.security ?? 'tls'];
  return {
    file: '~/.mbsyncrc',
    lines: [
      'IMAPAccount postern',
      `Host ${imap?.host ?? ''}`,
      `Port ${imap?.port ?? ''}`,
      `User ${doubled(address)}`,
      `Pass ${doubled(password)}`,
      `SSLType ${security}`,
      ...(ca === undefined ? [] : ['SystemCertificates no', `CertificateFile ${doubled(ca)}`]),
      // Other mechanisms may be installed that it would rather use.
      `AuthMechs ${imap?.security === 'plain' ? 'LOGIN' : 'PLAIN'}`,
      '',
      'IMAPStore far',
      'Account postern',
      '',
      'MaildirStore near',
      'SubFolders Verbatim',
      `Path ${doubled(folder)}`,
      `Inbox ${doubled(`${folder}INBOX`)}`,
      '',
      'Channel mail',
      'Far :far:',
      'Near :near:',
      'Patterns *',
      'Create Near',
      'Sync All',
      'SyncState *',
    ],
    notes: [PRIVATE, `first: mkdir -p ${folder}`, 'nothing is deleted on either side until you add: Expunge Both'],
  };
}

function forFetchmail({ address, password, imap, pop3, ca }: ClientSettings): ClientConfig {
  const door = imap ?? pop3;
  const tls = {
    tls: "ssl sslproto 'tls1.2+' sslcertck",
    // A version means that STARTTLS must work (fetchmail(1)).
    starttls: "sslproto 'tls1.2+' sslcertck",
    plain: "sslproto ''",
  }[door?.security ?? 'tls'];
  return {
    file: '~/.fetchmailrc',
    lines: [
      `poll ${door?.host ?? ''} protocol ${imap ? 'IMAP' : 'POP3'} service ${door?.port ?? ''}`,
      `  user ${single(address)} password ${single(password)}`,
      `  ${tls}${ca === undefined || door?.security === 'plain' ? '' : ` sslcertfile ${single(ca)}`}`,
      '  keep',
    ],
    notes: [PRIVATE, 'keep leaves mail at the server; remove it to delete what was fetched'],
  };
}

function forGetmail({ address, password, imap, pop3, ca }: ClientSettings): ClientConfig {
  const door = imap ?? pop3;
  const kind = `Simple${imap ? 'IMAP' : 'POP3'}${door?.security === 'tls' ? 'SSL' : ''}Retriever`;
  return {
    file: '~/.config/getmail/getmailrc',
    lines: [
      '[retriever]',
      `type = ${kind}`,
      `server = ${door?.host ?? ''}`,
      `port = ${door?.port ?? ''}`,
      `username = ${percent(address)}`,
      `password = ${percent(password)}`,
      ...(door?.security === 'tls' && ca !== undefined ? [`ca_certs = ${percent(ca)}`] : []),
      ...(imap ? ['mailboxes = ("INBOX",)'] : []),
      '',
      '[destination]',
      'type = Maildir',
      'path = ~/Maildir/',
      '',
      '[options]',
      'read_all = false',
      'delete = false',
    ],
    notes: [PRIVATE, 'first: mkdir -p ~/Maildir/cur ~/Maildir/new ~/Maildir/tmp', 'getmail6 knows no STARTTLS'],
  };
}

const CONNECTION: Readonly<Record<Security, string>> = { tls: 'SSL/TLS', starttls: 'STARTTLS', plain: 'None' };

function dialogue(
  settings: ClientSettings,
  labels: Readonly<Record<Protocol, string>>,
  plainPassword: string,
): readonly string[] {
  const { address, password, imap, pop3, smtp } = settings;
  const both = smtp && (imap || pop3) ? ', for both' : '';
  return [
    ...PROTOCOLS.flatMap((protocol) => {
      const door = settings[protocol];
      return door === undefined
        ? []
        : [
            `${labels[protocol]}  ${door.host}  port ${door.port}  security ${CONNECTION[door.security]}  sign-in ${plainPassword}`,
          ];
    }),
    `user name  ${address}  (the whole address${both})`,
    `password   ${password}  (the app password${both})`,
  ];
}

function forThunderbird(settings: ClientSettings): ClientConfig {
  return {
    file: undefined,
    lines: dialogue(
      settings,
      { imap: 'incoming, IMAP ', pop3: 'or incoming, POP3', smtp: 'outgoing, SMTP ' },
      'Normal password',
    ),
    notes: lines(
      'New account → Configure manually. Not OAuth2: the gateway does that.',
      settings.ca !== undefined &&
        `Settings → Privacy & Security → Certificates → Manage Certificates → Authorities → Import: ${settings.ca}, trust it for websites.`,
      'Account Settings → Copies & Folders → do not place a copy: Microsoft and Google keep one themselves. For many programs at once: postern password add --drop-own-sent-copy.',
    ),
  };
}

function forOutlook(settings: ClientSettings): ClientConfig {
  return {
    file: undefined,
    lines: dialogue(
      settings,
      { imap: 'incoming (IMAP)', pop3: 'or incoming (POP)', smtp: 'outgoing (SMTP)' },
      'password',
    ),
    notes: lines(
      'Outlook: File → Add Account → Let me set up my account manually → IMAP or POP. An address at Microsoft would otherwise be set up as Exchange.',
      'More settings → Outgoing server → My outgoing server requires authentication, same settings.',
      settings.ca !== undefined &&
        `Import ${settings.ca} into the computer’s Trusted Root Certification Authorities: certutil -addstore Root ca.pem`,
    ),
  };
}

function forPrinter(settings: ClientSettings): ClientConfig {
  const { planned, smtp, imap, pop3 } = settings;
  return {
    file: undefined,
    lines: [
      ...dialogue(
        settings,
        { smtp: 'SMTP server', imap: 'IMAP server', pop3: 'POP3 server' },
        'PLAIN or LOGIN, user name and password',
      ),
      ...(planned === undefined
        ? []
        : [
            '',
            '# The gateway does not listen there yet: other machines cannot reach it. Write this whole list to postern.yaml, in place',
            '# of one that is there (a list replaces the default one), and start postern serve again:',
            ...listenersYaml(planned),
            ...([smtp, imap, pop3].some((door) => door !== undefined && door.port < PRIVILEGED)
              ? ['# Ports below 1024 need root or the service: postern service install --system']
              : []),
          ]),
    ],
    notes: lines(
      'Sender address: the mailbox itself, or one it may send as.',
      !(imap || pop3) && 'One that reads mail too: add --protocols smtp,imap to this command.',
      settings.ca !== undefined &&
        `Devices that check certificates need ${settings.ca}; or give the gateway a certificate they know (tls: in postern.yaml).`,
    ),
  };
}

/** Below it a port is for root, or for who has CAP_NET_BIND_SERVICE (capabilities(7)). */
const PRIVILEGED = 1024;

/** mutt expands variables and runs backticks in double quotes, unless a backslash stands before them. */
const expanded = (text: string): string => `"${text.replace(/["\\$`]/g, '\\$&')}"`;
/** msmtp takes everything between the outer double quotes as it is. */
const enclosed = (text: string): string => `"${text}"`;
/** mbsync reads a word in double quotes with backslashes. */
const doubled = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;
/** fetchmail reads backslashes in single quotes too. */
const single = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
/** Python's configparser with interpolation. */
const percent = (text: string): string => text.replaceAll('%', '%%');
