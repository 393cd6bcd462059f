/** Looks for known secrets in every byte of files, output and processes, in the forms a leak may take. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What it is called in a report, and the value that must not be seen. */
export type KnownSecrets = ReadonlyMap<string, string>;

export interface Leak {
  readonly secret: string;
  readonly form: string;
  readonly where: string;
}

/** A token's signature or a password's middle is as good as the whole to find it by; so are its encodings. */
export function formsOf(value: string): ReadonlyMap<string, Buffer> {
  const bytes = Buffer.from(value);
  const forms = new Map<string, Buffer>([
    ['as it is', bytes],
    ['hexadecimal', Buffer.from(bytes.toString('hex'))],
    ['hexadecimal, upper case', Buffer.from(bytes.toString('hex').toUpperCase())],
    ['UTF-16', Buffer.from(value, 'utf16le')],
  ]);
  if (encodeURIComponent(value) !== value) forms.set('percent-encoded', Buffer.from(encodeURIComponent(value)));
  // In base64 a value looks different at each of three offsets; only what does not depend on its neighbours is looked for.
  for (const offset of [0, 1, 2])
    for (const alphabet of ['base64', 'base64url'] as const) {
      const text = Buffer.concat([Buffer.alloc(offset), bytes])
        .toString(alphabet)
        .replace(/=+$/, '');
      const from = Math.ceil((offset * 8) / 6);
      const whole = Math.floor(((offset + bytes.length) * 8) / 6);
      forms.set(`${alphabet} at ${offset}`, Buffer.from(text.slice(from, whole)));
    }
  return forms;
}

export function search(haystack: Buffer, secrets: KnownSecrets, where: string): Leak[] {
  const leaks: Leak[] = [];
  for (const [secret, value] of secrets)
    for (const [form, bytes] of formsOf(value)) if (haystack.includes(bytes)) leaks.push({ secret, form, where });
  return leaks;
}

/** Every file under a folder, whatever it is called. */
export function searchFolder(folder: string, secrets: KnownSecrets): Leak[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .flatMap((path) => search(readFileSync(path), secrets, path));
}

/** Arguments and environment of a running process, which every user (arguments) or the same user (environment) can read. */
export function searchProcess(pid: number, secrets: KnownSecrets): Leak[] {
  return ['cmdline', 'environ'].flatMap((name) =>
    search(readFileSync(`/proc/${pid}/${name}`), secrets, `/proc/PID/${name}`),
  );
}
