/** fetchmail: collects mail and hands each message to a program. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, type Job } from '../client.ts';
import { maildirMessages } from '../maildir.ts';

async function collect(job: Job, protocol: 'IMAP' | 'POP3'): Promise<readonly Buffer[]> {
  const { door, security, folder } = job;
  const { host, port } = addressOf(door, protocol === 'IMAP' ? 'imap' : 'pop3', security);
  const into = join(folder, 'maildir', 'new');
  mkdirSync(into, { recursive: true });
  const deliver = join(folder, 'deliver');
  writeFileSync(deliver, `#!/bin/sh\nexec cat > "$(mktemp '${into}/XXXXXXXX')"\n`);
  chmodSync(deliver, 0o755);
  // An empty sslproto means no STARTTLS; a version means that it must work (fetchmail(1)).
  const tls = {
    plain: "sslproto ''",
    starttls: `sslproto 'tls1.2+' sslcertck sslcertfile '${door.caPath}'`,
    tls: `ssl sslproto 'tls1.2+' sslcertck sslcertfile '${door.caPath}'`,
  }[security];
  const config = join(folder, 'fetchmailrc');
  writeFileSync(
    config,
    `set no bouncemail
poll ${host} protocol ${protocol} service ${port}
  user '${door.user}' password '${door.password}' ${tls}
  fetchall nokeep no rewrite no mimedecode mda '${deliver}'
`,
    { mode: 0o600 },
  );
  // 1 means that there was no mail: the caller sees that nothing came.
  const args = ['--fetchmailrc', config, '--invisible', '--nosyslog', '--verbose', '--pidfile', join(folder, 'pid')];
  const { stdout, stderr } = await runProgram('fetchmail', args, {
    env: { HOME: folder, FETCHMAILHOME: folder },
    accept: [0, 1],
  });
  if (!existsSync(into)) throw new Error(`fetchmail delivered nothing:\n${stdout.toString()}\n${stderr}`);
  return maildirMessages(join(folder, 'maildir'));
}

export const client: Client = {
  name: 'fetchmail',
  package: 'fetchmail',
  imapDrain: (job) => collect(job, 'IMAP'),
  pop3Drain: (job) => collect(job, 'POP3'),
};
