/** getmail6: collects mail into a Maildir and deletes it at the server. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asOrdinaryUser } from '../../bed/ordinary-user.ts';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, type Job } from '../client.ts';
import { maildirMessages } from '../maildir.ts';

async function collect(job: Job, protocol: 'imap' | 'pop3'): Promise<readonly Buffer[]> {
  const { door, security, folder } = job;
  const { host, port } = addressOf(door, protocol, security);
  const maildir = join(folder, 'maildir');
  for (const part of ['new', 'cur', 'tmp']) mkdirSync(join(maildir, part), { recursive: true });
  const authority = join(folder, 'ca.pem');
  copyFileSync(door.caPath, authority);
  const kind = protocol === 'imap' ? 'IMAP' : 'POP3';
  writeFileSync(
    join(folder, 'getmailrc'),
    `[retriever]
type = Simple${kind}${security === 'tls' ? 'SSL' : ''}Retriever
server = ${host}
port = ${port}
username = ${door.user}
password = ${door.password}
${security === 'tls' ? `ca_certs = ${authority}\n` : ''}${protocol === 'imap' ? 'mailboxes = ("INBOX",)\n' : ''}
[destination]
type = Maildir
path = ${maildir}/

[options]
delete = true
read_all = true
delivered_to = false
received = false
verbose = 1
`,
    { mode: 0o600 },
  );
  // It refuses its own Maildir delivery to root; with a program to deliver by it misses the end of one that is over at once.
  const command = asOrdinaryUser(folder, 'getmail', ['--getmaildir', folder, '--rcfile', 'getmailrc']);
  await runProgram(...command, { env: { HOME: folder } });
  return maildirMessages(maildir);
}

export const client: Client = {
  name: 'getmail6',
  package: 'getmail6',
  imapDrain: (job) => collect(job, 'imap'),
  pop3Drain: (job) => collect(job, 'pop3'),
  cannot: { starttls: 'getmail6 has no setting for it' },
};
