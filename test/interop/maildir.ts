/** A Maildir on disk, as the programs that collect mail write it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Paths of the messages, in no particular order. */
export function maildirFiles(maildir: string): string[] {
  return ['cur', 'new'].flatMap((part) => {
    const folder = join(maildir, part);
    return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  });
}

/** The messages with CRLF line ends, however the program stored them. */
export function maildirMessages(maildir: string): Buffer[] {
  return maildirFiles(maildir).map((path) => crlf(readFileSync(path)));
}

export function crlf(message: Buffer): Buffer {
  return Buffer.from(message.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1');
}
