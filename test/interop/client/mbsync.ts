/** mbsync (isync): two-way synchronisation with a Maildir. What is done to the Maildir must arrive at the server. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, DELETE, type ImapTour, KEEP, MOVE } from '../client.ts';
import { crlf, maildirFiles } from '../maildir.ts';

async function sync({ door, security, folder }: ImapTour): Promise<void> {
  const { host, port } = addressOf(door, 'imap', security);
  const config = join(folder, 'mbsyncrc');
  writeFileSync(
    config,
    `IMAPAccount work
Host ${host}
Port ${port}
User ${door.user}
Pass "${door.password}"
SSLType ${{ plain: 'None', starttls: 'STARTTLS', tls: 'IMAPS' }[security]}
SystemCertificates no
CertificateFile ${door.caPath}
AuthMechs ${security === 'tls' ? 'PLAIN' : 'LOGIN'}

IMAPStore far
Account work

MaildirStore near
SubFolders Verbatim
Path ${folder}/mail/
Inbox ${folder}/mail/INBOX

Channel all
Far :far:
Near :near:
Patterns INBOX Archive
Create Both
Expunge Both
Sync All
SyncState *
`,
    { mode: 0o600 },
  );
  await runProgram('mbsync', ['--config', config, '--all'], { env: { HOME: folder } });
}

export const client: Client = {
  name: 'mbsync',
  package: 'isync',
  async imapTour(tour) {
    const mail = join(tour.folder, 'mail');
    mkdirSync(mail);
    await sync(tour);
    const inbox = join(mail, 'INBOX');
    const find = (subject: string): string => {
      const found = maildirFiles(inbox).find((path) => readFileSync(path).includes(subject));
      if (!found) throw new Error(`mbsync did not bring ${subject}`);
      return found;
    };
    const flagged = (path: string, letter: string): string =>
      join(inbox, 'cur', `${basename(path).split(':')[0]!}:2,${letter}`);
    const source = readFileSync(find(KEEP));
    renameSync(find(KEEP), flagged(find(KEEP), 'F'));
    renameSync(find(DELETE), flagged(find(DELETE), 'T'));
    // A file without ",U=" is new to mbsync, so moving means: delete there, upload here.
    const moved = find(MOVE);
    writeFileSync(join(mail, 'Archive', 'new', 'moved'), readFileSync(moved));
    renameSync(moved, flagged(moved, 'T'));
    writeFileSync(join(inbox, 'new', 'appended'), tour.appended.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
    await sync(tour);
    return crlf(source);
  },
};
