/** `postern compact`: a database file without free space. */
import { dirname } from 'node:path';
import { statfsSync } from 'node:fs';
import { takeHomeLock } from '../../server/home-lock.ts';
import { databaseFile } from '../../server/installation-mark.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';

const MIB = 1024 * 1024;

export function compact(): Subcommand {
  return new Subcommand('compact', 'rewrite the SQLite database without its free space; stop the server first')
    .remark(`Needed once for a database of an earlier version; one made by this version gives space back by itself. Takes some ten seconds
a gigabyte and needs up to twice the size of what is in use on the same disk meanwhile.`)
    .example('postern compact')
    .run(async (context) => {
      const config = context.config();
      const file = databaseFile(config);
      if (file === undefined)
        throw cliError('cli.usage', 'the database is PostgreSQL, which gives space back by itself', {
          hint: 'nothing needs to be done; VACUUM FULL in psql rewrites a table where that is wanted',
        });
      const lock = takeHomeLock(config);
      try {
        // What it writes meanwhile belongs on the disk of the database, not into a small /tmp.
        process.env['SQLITE_TMPDIR'] ??= dirname(file);
        const { before, after } = await context.withInstance(async ({ store }) => {
          const before = await store.space.state();
          const { bavail, bsize } = statfsSync(dirname(file));
          const needed = 2 * (before.octets - before.free);
          if (bavail * bsize < needed)
            throw cliError(
              'cli.usage',
              `${mib(needed)} MiB must be free in ${dirname(file)}, and ${mib(bavail * bsize)} are`,
              {
                hint: 'make room there, or shorten audit.keepDays and outbox.keepDays first',
              },
            );
          return { before, after: await store.space.compact() };
        });
        context.result({ before: before.octets, after: after.octets }, [
          `${mib(before.octets)} MiB before, ${mib(after.octets)} MiB now; from now on space is given back while the server runs`,
        ]);
      } finally {
        await lock?.[Symbol.asyncDispose]();
      }
    });
}

const mib = (octets: number): number => Math.ceil(octets / MIB);
