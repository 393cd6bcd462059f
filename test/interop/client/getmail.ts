/** getmail6: collects mail into a Maildir and deletes it at the server. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, type Job } from '../client.ts';
import { maildirMessages } from '../maildir.ts';

async function collect(job: Job, protocol: 'imap' | 'pop3'): Promise<readonly Buffer[]> {
  const { door, security, folder } = job;
  const { host, port } = addressOf(door, protocol, security);
  const maildir = join(folder, 'maildir');
  mkdirSync(join(maildir, 'new'), { recursive: true });
  // Its own Maildir delivery refuses to run as root, which is who continuous integration is. The pause: getmail6 6.18 misses the
  // end of a delivery that is over before it begins to wait for it (baseclasses.py, ForkingBase), and then hangs for minutes.
  const deliver = join(folder, 'deliver');
  writeFileSync(deliver, `#!/bin/sh\nsleep 0.5\nexec cat > "$(mktemp '${maildir}/new/XXXXXXXX')"\n`);
  chmodSync(deliver, 0o755);
  const kind = protocol === 'imap' ? 'IMAP' : 'POP3';
  writeFileSync(
    join(folder, 'getmailrc'),
    `[retriever]
type = Simple${kind}${security === 'tls' ? 'SSL' : ''}Retriever
server = ${host}
port = ${port}
username = ${door.user}
password = ${door.password}
${security === 'tls' ? `ca_certs = ${door.caPath}\n` : ''}${protocol === 'imap' ? 'mailboxes = ("INBOX",)\n' : ''}
[destination]
type = MDA_external
path = ${deliver}
allow_root_commands = true
unixfrom = false

[options]
delete = true
read_all = true
delivered_to = false
received = false
verbose = 1
`,
    { mode: 0o600 },
  );
  await runProgram('getmail', ['--getmaildir', folder, '--rcfile', 'getmailrc'], { env: { HOME: folder } });
  return maildirMessages(maildir);
}

export const client: Client = {
  name: 'getmail6',
  package: 'getmail6',
  imapDrain: (job) => collect(job, 'imap'),
  pop3Drain: (job) => collect(job, 'pop3'),
  cannot: { starttls: 'getmail6 has no setting for it' },
};
