/** Python's imaplib, poplib and smtplib, driven by `python.py`. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, DELETE, type Job, KEEP, MOVE } from '../client.ts';

async function python(
  job: Job,
  protocol: 'imap' | 'pop3' | 'smtp',
  more: Readonly<Record<string, string>>,
): Promise<void> {
  const { door, security, folder } = job;
  const { host, port } = addressOf(door, protocol, security);
  const told = { protocol, host, port, security, folder, ca: door.caPath, user: door.user, password: door.password };
  await runProgram('python3', [join(import.meta.dirname, 'python.py')], {
    input: JSON.stringify({ ...told, ...more }),
    env: { HOME: folder },
  });
}

export const client: Client = {
  name: 'Python',
  package: 'python3',
  async imapTour(tour) {
    const append = join(tour.folder, 'append.eml');
    writeFileSync(append, tour.appended);
    // LOGIN on one kind of connection, AUTHENTICATE PLAIN on the others.
    const mechanism = tour.security === 'plain' ? 'LOGIN' : 'PLAIN';
    await python(tour, 'imap', { append, mechanism, keep: KEEP, move: MOVE, delete: DELETE });
    return readFileSync(join(tour.folder, 'read'));
  },
  async pop3Tour(job) {
    await python(job, 'pop3', { delete: DELETE });
    const names = readdirSync(job.folder).filter((name) => name.startsWith('read'));
    return names.map((name) => readFileSync(join(job.folder, name)));
  },
  async send(sending) {
    const message = join(sending.folder, 'message.eml');
    writeFileSync(message, sending.message);
    await python(sending, 'smtp', { message, from: sending.from, to: sending.to });
  },
};
