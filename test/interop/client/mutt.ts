/** mutt and NeoMutt: the same configuration, driven by pushed keys in a terminal of their own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client, DELETE, type Job, KEEP, MOVE } from '../client.ts';
import { maildirMessages } from '../maildir.ts';

const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/** Writes the configuration file. Both programs are built with GnuTLS in Debian and read the same settings. */
function configure({ door, security, folder }: Job): string {
  const imap = addressOf(door, 'imap', security);
  const smtp = addressOf(door, 'smtp', security);
  const s = security === 'tls' ? 's' : '';
  const user = encodeURIComponent(door.user);
  const config = join(folder, 'muttrc');
  writeFileSync(
    config,
    `set folder = "imap${s}://${user}@${imap.host}:${imap.port}/"
set spoolfile = "+INBOX"
set imap_user = ${quoted(door.user)}
set imap_pass = ${quoted(door.password)}
set smtp_url = "smtp${s}://${user}@${smtp.host}:${smtp.port}/"
set smtp_pass = ${quoted(door.password)}
set ssl_starttls = ${security === 'starttls' ? 'yes' : 'no'}
set ssl_force_tls = ${security === 'plain' ? 'no' : 'yes'}
set ssl_ca_certificates_file = ${quoted(door.caPath)}
set from = ${quoted(door.user)}
set use_envelope_from = yes
set realname = "A. Person"
set mbox_type = Maildir
set tmpdir = ${quoted(folder)}
set header_cache = ""
set record = ""
set quit = yes
set delete = yes
set move = no
set copy = no
set confirmappend = no
set confirmcreate = no
set wait_key = no
set mark_old = no
set sleep_time = 0
set net_inc = 0
`,
    { mode: 0o600 },
  );
  return config;
}

/** Runs the program in a pseudo-terminal, types `keys` and waits for its end. */
async function type(program: string, job: Job, keys: string, args: readonly string[] = []): Promise<void> {
  const command = [program, '-F', configure(job), ...args, '-e', `push '${keys}'`].map(
    (word) => `'${word.replaceAll("'", "'\\''")}'`,
  );
  // script(1) gives it a terminal; its own input stays open, or it would send end-of-file into the terminal.
  const child = spawn('script', ['-qfec', command.join(' '), '/dev/null'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
    env: { PATH: process.env.PATH, HOME: job.folder, TERM: 'xterm', LANG: 'C.UTF-8', LINES: '40', COLUMNS: '120' },
  });
  let screen = '';
  child.stdout.on('data', (piece: Buffer) => void (screen += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => void (screen += piece.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  // eslint-disable-next-line no-control-regex
  const plain = screen.replace(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[()][A-Z0-9]|[\u0000-\u0009\u000b-\u001f]/g, ' ');
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}; its screen:\n${plain.slice(-3000)}`);
}

function muttLike(name: string, program: string): Client {
  return {
    name,
    package: program,
    async imapTour(tour) {
      const read = join(tour.folder, 'read');
      const append = join(tour.folder, 'append');
      for (const part of ['cur', 'new', 'tmp']) mkdirSync(join(append, part), { recursive: true });
      writeFileSync(join(append, 'new', 'one'), tour.appended.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
      // Tagged by pattern, so that it does not matter where the cursor starts.
      const on = (subject: string, keys: string): string =>
        `<tag-pattern>~s ${subject}<enter><tag-prefix>${keys}<untag-pattern>~T<enter>`;
      const keys = [
        on(KEEP, `<copy-message>${read}<enter>`),
        on(KEEP, '<set-flag>!'),
        on(MOVE, '<save-message>=Archive<enter>'),
        on(DELETE, '<delete-message>'),
        '<sync-mailbox><quit>',
      ];
      await type(program, tour, keys.join(''));
      await type(program, tour, '<first-entry><copy-message>=INBOX<enter><quit>', ['-f', append]);
      if (!existsSync(read)) throw new Error(`${program} wrote no copy`);
      const [source] = maildirMessages(read);
      if (!source) throw new Error(`${program} copied no message`);
      return source;
    },
    async send(sending) {
      const { folder, subject, attachment, to } = sending;
      const args = ['-F', configure(sending), '-s', subject, '-a', attachment, '--', to];
      await runProgram(program, args, { input: 'a letter\n', env: { HOME: folder, TERM: 'dumb' } });
      if (existsSync(join(folder, 'dead.letter'))) throw new Error(readFileSync(join(folder, 'dead.letter'), 'utf8'));
    },
  };
}

export const mutt = muttLike('mutt', 'mutt');
export const neomutt = muttLike('NeoMutt', 'neomutt');
