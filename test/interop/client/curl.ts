/** curl: one command a run, the password in a configuration file. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, DELETE, type Job, KEEP, MOVE } from '../client.ts';

type MailProtocol = 'imap' | 'pop3' | 'smtp';

/** Runs one transfer and gives what curl wrote. */
async function curl(job: Job, protocol: MailProtocol, path: string, args: readonly string[] = []): Promise<Buffer> {
  const { door, security } = job;
  const config = join(job.folder, 'curlrc');
  writeFileSync(
    config,
    [
      `user = "${door.user}:${door.password}"`,
      `cacert = "${door.caPath}"`,
      'silent',
      'show-error',
      ...(security === 'starttls' ? ['ssl-reqd'] : []),
    ].join('\n'),
    { mode: 0o600 },
  );
  const { host, port } = addressOf(door, protocol, security);
  const scheme = security === 'tls' ? `${protocol}s` : protocol;
  const url = `${scheme}://${host}:${port}${path}`;
  return (await runProgram('curl', ['--config', config, ...args, url], { env: { HOME: job.folder } })).stdout;
}

async function uidOf(job: Job, subject: string): Promise<string> {
  const answer = (await curl(job, 'imap', '/INBOX', ['--request', `UID SEARCH SUBJECT ${subject}`])).toString();
  const uid = /^\* SEARCH (\d+)/m.exec(answer)?.[1];
  if (!uid) throw new Error(`curl found no message with subject ${subject}: ${answer}`);
  return uid;
}

const command = (job: Job, text: string): Promise<Buffer> => curl(job, 'imap', '/INBOX', ['--request', text]);

/** The sources of all messages in INBOX, by IMAP. */
export async function inbox(job: Job): Promise<readonly Buffer[]> {
  const answer = (await command(job, 'UID SEARCH ALL')).toString();
  const uids = /^\* SEARCH([\d ]*)/m.exec(answer)?.[1]?.trim().split(' ').filter(Boolean) ?? [];
  const sources: Buffer[] = [];
  for (const uid of uids) sources.push(await curl(job, 'imap', `/INBOX;UID=${uid}`));
  return sources;
}

export const client: Client = {
  name: 'curl',
  package: 'curl',
  async imapTour(tour) {
    const keep = await uidOf(tour, KEEP);
    const source = await curl(tour, 'imap', `/INBOX;UID=${keep}`);
    await command(tour, `UID STORE ${keep} +FLAGS (\\Flagged)`);
    await command(tour, `UID MOVE ${await uidOf(tour, MOVE)} Archive`);
    const file = join(tour.folder, 'append.eml');
    writeFileSync(file, tour.appended);
    await curl(tour, 'imap', '/INBOX', ['--upload-file', file]);
    await command(tour, `UID STORE ${await uidOf(tour, DELETE)} +FLAGS (\\Deleted)`);
    await command(tour, 'EXPUNGE');
    return source;
  },
  async pop3Tour(job) {
    const list = (await curl(job, 'pop3', '/')).toString();
    const numbers = [...list.matchAll(/^(\d+) \d+\r?$/gm)].map((row) => row[1]!);
    const sources: Buffer[] = [];
    for (const number of numbers) sources.push(await curl(job, 'pop3', `/${number}`));
    // Every run is a session of its own, and a deletion renumbers what follows.
    const doomed = sources.findIndex((source) => source.includes(DELETE));
    await curl(job, 'pop3', `/${numbers[doomed]!}`, ['--request', 'DELE', '--head']);
    return sources;
  },
  async send(sending) {
    const file = join(sending.folder, 'message.eml');
    writeFileSync(file, sending.message);
    const envelope = ['--mail-from', sending.from, '--mail-rcpt', sending.to];
    await curl(sending, 'smtp', '/client.test', [...envelope, '--upload-file', file]);
  },
};
