/** A private PostgreSQL that lives as long as a test: its own folder, port and user, trust on loopback, no fsync. */
import { execFile } from 'node:child_process';
import { chownSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { type Daemon, freePorts, privateFolder, startDaemon } from './process.ts';

export interface Postgres {
  /** `postgres://postern@127.0.0.1:PORT/postern` */
  readonly url: string;
  /** A new empty database on the same server, for tests that must not see each other. */
  freshDatabase(): Promise<string>;
  /** Ends the server at once, as a power cut would; {@link Postgres.start} brings it back on the same port. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one. @throws when the binaries are missing: `apt-get install postgresql-15` */
export async function startPostgres(): Promise<Postgres> {
  const folder = privateFolder();
  const [port] = await freePorts(1);
  const data = join(folder.path, 'data');
  if (process.getuid?.() === 0) chownSync(folder.path, NOBODY, NOGROUP);
  await run('initdb', ['-D', data, '-U', 'postern', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C.UTF-8']);

  let daemon: Daemon | undefined;
  let databases = 0;
  const at = (name: string): string => `postgres://postern@127.0.0.1:${port}/${name}`;
  const query = async (text: string): Promise<void> => {
    const client = new pg.Client({ connectionString: at('postgres') });
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  };
  const start = async (): Promise<void> => {
    const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: folder.path, fsync: 'off' };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const [program, args] = asPostgresUser('postgres', ['-D', data, ...flags]);
    const started = startDaemon(program, args, { cwd: folder.path });
    daemon = started;
    for (;;) {
      try {
        await query('SELECT 1');
        return;
      } catch (error) {
        if (!started.running) throw new Error(`PostgreSQL did not start:\n${started.output()}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  await start();
  await query('CREATE DATABASE postern');

  return {
    url: at('postern'),
    async freshDatabase() {
      const name = `fresh_${++databases}`;
      await query(`CREATE DATABASE ${name}`);
      return at(name);
    },
    async kill() {
      // SIGQUIT is PostgreSQL's immediate shutdown: no goodbye to clients, recovery from the log at the next start.
      daemon?.child.kill('SIGQUIT');
      await daemon?.stop();
    },
    start,
    async stop() {
      daemon?.child.kill('SIGQUIT');
      await daemon?.stop();
      folder.remove();
    },
  };
}

const NOBODY = 65534;
const NOGROUP = 65534;
const BINARIES = ['/usr/lib/postgresql/15/bin', '/usr/lib/postgresql/16/bin', '/usr/lib/postgresql/17/bin'];

async function run(program: string, args: readonly string[]): Promise<void> {
  const [file, all] = asPostgresUser(program, args);
  await promisify(execFile)(file, [...all]);
}

/** PostgreSQL refuses to run as root, so root becomes nobody for it. */
function asPostgresUser(program: string, args: readonly string[]): [string, readonly string[]] {
  const folder = BINARIES.find((path) => existsSync(join(path, 'initdb')));
  if (folder === undefined) throw new Error('PostgreSQL is not installed: apt-get install postgresql-15');
  const file = join(folder, program);
  if (process.getuid?.() !== 0) return [file, args];
  return ['setpriv', [`--reuid=${NOBODY}`, `--regid=${NOGROUP}`, '--clear-groups', file, ...args]];
}
