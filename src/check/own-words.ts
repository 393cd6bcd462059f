/** What Postern itself says to mail programs and in its log: which code or topic a pasted line of ours belongs to. */
import { asciiLine } from '../base/ascii-line.ts';
import { REFUSAL_NEXT } from '../gateway/verdict.ts';

/** Words of our replies that have no hint of the tables behind them, and their codes. Tests hold them against the code that says them. */
const REPLIES: readonly (readonly [words: RegExp, code: string])[] = [
  [/the user name or app password is not right/i, 'gateway.wrong-password'],
  [/^\[?AUTHENTICATIONFAILED\]?$/i, 'gateway.wrong-password'],
  [/stands for every address of its domain/i, 'gateway.user-name'],
  [/too many failed sign-ins/i, 'gateway.slowed'],
  [
    /the mailbox was closed|this mailbox was closed|the consent for \S+ has ended|has to be signed in to again/i,
    'gateway.consent-needed',
  ],
  [/the organisation does not let \S{1,320} in| is not let in|is suspended here/i, 'gateway.consent-needed'],
  [/the provider does not let/i, 'gateway.provider-refused'],
  [/the provider of \S+ cannot be used/i, 'gateway.misconfigured'],
  [/the provider of \S+ is not available/i, 'gateway.provider-unreachable'],
  [/is open in another POP3 session/i, 'gateway.maildrop-in-use'],
  [/the provider does not open \S+ again so soon/i, 'gateway.login-delay'],
  [/too many connections(?: from this address|, try again later)/i, 'gateway.too-many-connections'],
  [/no sign-in within the time allowed/i, 'gateway.sign-in-too-slow'],
  [
    /the server is shutting down|the server cannot work just now|this app password is no longer valid|closed after long silence/i,
    'gateway.ended',
  ],
];

export interface OwnWords {
  readonly name: string;
  readonly title: string;
  readonly text: readonly string[];
  readonly commands: readonly string[];
}

/** Reasons that log lines and metrics name, and replies before a sign-in that are no failure of ours. */
const WORDS: readonly (OwnWords & { readonly words: RegExp | string })[] = [
  ...(
    [
      [
        'unknown-password',
        'no app password like this exists here: mistyped, made at another installation, or a password of the account',
      ],
      ['wrong-mailbox', 'the app password is right, but does not open this mailbox'],
      ['wrong-protocol', 'the app password is right, but not for this protocol'],
      ['wrong-network', 'the app password is right, but not from this network address'],
      ['expired', 'the app password has reached its end'],
      ['revoked', 'the app password was revoked'],
      ['no-such-mailbox', 'the app password is right, and there is no mailbox with this user name'],
      ['catch-all', 'the app password is right, and the user name stands for every address of its domain'],
      ['slow-down', 'too many wrong passwords came before, so this attempt was not looked at'],
    ] as const
  ).map(([name, what]) => ({
    name,
    words: name,
    title: `A sign-in that was refused: ${what}`,
    text: [
      `This is the reason in the log line “sign-in refused” and in the audit record signin.local. The mail program is told the same for every reason${name === 'slow-down' || name === 'catch-all' ? ', but this one' : ''}.`,
      `Next: ${REFUSAL_NEXT[name]}.`,
    ],
    commands: ['postern password list', 'postern password add --mailbox ADDRESS --label PROGRAM'],
  })),
  ...(
    [
      [
        'old-version',
        'a mail program or device speaks no TLS 1.2',
        'look for newer firmware or for TLS 1.2 in its settings; a device that has neither may send without TLS to the listener for devices (outbox.devices) from a network that is named there (tls: plain where it uses STARTTLS whenever that is offered); if STARTTLS fails in a program, try its port with SSL/TLS',
      ],
      [
        'no-common-cipher',
        'a mail program or device offers no cipher, key exchange or signature in common with what is used here',
        'allow it AES-GCM with ECDHE, the curves X25519, P-256 or P-384, and signatures with SHA-256 (TLS 1.2), or update it; with a certificate of your own, check that its key is not below 2,048 bits of RSA',
      ],
      [
        'certificate-refused',
        'a mail program or device does not trust the certificate of this gateway',
        'import ca.pem there, or use a certificate it trusts; if the name is wrong, set hostname in postern.yaml',
      ],
      [
        'not-tls',
        'plain text came to a port on which TLS begins with the first octet',
        'choose SSL/TLS for this port in the program, or give it the port with STARTTLS',
      ],
    ] as const
  ).map(([name, what, next]) => ({
    name,
    words: name,
    title: `A TLS handshake that failed: ${what}`,
    text: ['This is the reason in the log and in postern_tls_handshakes_failed_total.', `Next: ${next}.`],
    commands: ['postern explain devices', 'postern explain tls'],
  })),
  {
    name: '530 5.7.0',
    words:
      /sign in with AUTH first|use STARTTLS first|^(?:msmtp: )?cannot (?:find a usable|use a secure) authentication method/i,
    title: 'Postern wants the sign-in, or TLS, before this command',
    text: [
      '“sign in with AUTH first”: the program tried to send without a user name and a password. Switch sign-in on in its settings: the address of the mailbox and an app password.',
      '“use STARTTLS first”: this port takes a password only after STARTTLS. Choose STARTTLS in the program, or give it the port with TLS from the first byte.',
      '“cannot find a usable authentication method”, “cannot use a secure authentication method”: msmtp gives its password only over TLS. Set tls on, and tls_starttls as the port has it.',
      'A device that cannot sign in sends to the listener for devices instead: postern explain devices.',
    ],
    commands: ['postern password add --mailbox ADDRESS --label PROGRAM', 'postern client-config ADDRESS'],
  },
  {
    name: 'login denied',
    words:
      /^(?:curl: \(\d{1,3}\) )?(?:login denied|access denied[.:] ?\S{0,4})$|^(?:msmtp: )?authentication failed \(method [\w-]{1,30}\)$/i,
    title: 'A program’s sign-in was refused',
    text: [
      'This is how curl and msmtp say that Postern refused the user name or the app password. It does not pass by itself. curl leaves out the server’s words: curl -v shows them. msmtp has them in its next line, “server message”.',
      'A number behind “Access denied” that begins with 4 is another matter: the provider or Postern cannot be reached just now, or somebody has to act there. postern check says which.',
      'Next: look for the log line “sign-in refused”: its reason says which it was, and its hint what to do. The user name is the address of the mailbox, and the password one that postern password add printed.',
    ],
    commands: [
      'postern audit show --type signin.local',
      'postern check ADDRESS',
      'postern password add --mailbox ADDRESS --label PROGRAM',
    ],
  },
  {
    name: 'address not accepted',
    words:
      /^(?:curl: \(\d{1,3}\) )?(?:MAIL|RCPT) failed: \d{3}|^(?:msmtp: )?(?:envelope from|recipient) address \S{1,320} not accepted by the server/i,
    title: 'The sender or a recipient of a message was refused',
    text: [
      '“MAIL failed” and “envelope from address”: the sender is neither the mailbox that signed in nor one of its further senders. A number that begins with 4 passes by itself.',
      '“RCPT failed” and “recipient address”: the provider does not take this recipient, or the address is suppressed here.',
      'Next: read the server’s words, which msmtp has in its next line, “server message”, and curl -v shows; postern explain knows them.',
    ],
    commands: ['postern mailbox set ADDRESS --send-as OTHER', 'postern suppression list', 'postern check ADDRESS'],
  },
  {
    name: 'certificate verify failed',
    words:
      /^.{0,60}(?:certificate verify failed|certificate issuer is unknown|self.signed certificate in certificate chain|SSL certificate problem|no alternative certificate subject name|TLS certificate verification failed)/i,
    title: 'A mail program does not trust the certificate of this gateway',
    text: [
      'Where a mail program says this of its connection to Postern, it does not know the CA that signed the gateway’s certificate. This does not pass by itself.',
      'Where the words are of a name or host name: the program knows the gateway by a name that the certificate does not have. Set hostname in postern.yaml, or use the name of the certificate.',
      'Next: give it that CA; postern client-config names the file and puts it into the configuration. On another machine copy the file there and name it with --ca-file.',
      'Where postern check says this of a provider, a proxy opens TLS on the way, or the provider has a private CA: postern application set NAME --ca FILE.',
    ],
    commands: ['postern client-config ADDRESS --for PROGRAM', 'postern explain tls'],
  },
  {
    name: 'connection refused',
    words: /^.{0,120}\b(?:connection refused|could(?:n't| not) connect to server)\.?$/i,
    title: 'Nothing listens where a mail program connects',
    text: [
      'The machine was reached, but no program listens at this port: the gateway does not run, or the program has another port than the gateway.',
      'Next: see whether the gateway runs and which ports it has; then compare them with the program’s settings.',
    ],
    commands: ['postern ready', 'postern check --installation', 'postern client-config ADDRESS --for PROGRAM'],
  },
];

/** The code of a reply that was pasted, by its own words or by the next step that stands in it; undefined for anybody else's. */
export function codeOfReply(
  asked: string,
  tables: readonly Readonly<Record<string, { readonly hint: string }>>[],
): string | undefined {
  const own = REPLIES.find(([words]) => words.test(asked))?.[1];
  if (own !== undefined) return own;
  const hint = /\(([^()]{20,}(?:\([^()]*\)[^()]*)*)\)\s*$/.exec(asked)?.[1];
  if (hint === undefined) return undefined;
  const said = (text: string): string => asciiLine(text, LONG);
  return tables.flatMap((table) => Object.entries(table)).find(([, row]) => said(row.hint) === said(hint))?.[0];
}

export function wordsOf(asked: string): OwnWords | undefined {
  const reason = asked
    .replace(/^reason[=:"' ]{1,4}/i, '')
    .replace(/["']$/, '')
    .toLowerCase();
  const found = WORDS.find(({ words }) => (typeof words === 'string' ? words === reason : words.test(asked)));
  return found && { name: found.name, title: found.title, text: found.text, commands: found.commands };
}

const LONG = 1000;
