/** A database file with a hole in it. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Zeroes the root page of a table or an index, in a database that nobody has open. */
export function damage(file: string, name: string): void {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  const [row] = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').all(name);
  const size = Number(database.prepare('PRAGMA page_size').get()!['page_size']);
  database.close();
  const fd = openSync(file, 'r+');
  writeSync(fd, Buffer.alloc(size), 0, size, (Number(row!['rootpage']) - 1) * size);
  closeSync(fd);
}
