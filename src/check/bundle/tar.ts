/** A tar archive in memory (POSIX.1-1988 ustar): a support bundle is small, and every system can unpack it. */

export interface TarEntry {
  /** Path inside the archive, at most 99 octets. */
  readonly name: string;
  readonly content: Buffer;
}

const BLOCK = 512;

/** @param at seconds since the epoch for every entry */
export function tar(entries: readonly TarEntry[], at: number): Buffer {
  const blocks = entries.flatMap(({ name, content }) => [
    header(name, content.length, at),
    content,
    Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, at: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const text = (value: string, offset: number): void => void block.write(value, offset, 'latin1');
  const octal = (value: number, offset: number, length: number): void =>
    text(`${value.toString(8).padStart(length - 1, '0')}\0`, offset);
  if (Buffer.byteLength(name) > 99) throw new RangeError(`${name} is too long a name for an archive`);
  text(name, 0);
  octal(0o600, 100, 8);
  octal(0, 108, 8); // user
  octal(0, 116, 8); // group
  octal(size, 124, 12);
  octal(at, 136, 12);
  text(' '.repeat(8), 148); // the checksum counts as spaces
  text('0', 156); // a file
  text('ustar\0', 257);
  text('00', 263);
  const sum = block.reduce((total, octet) => total + octet, 0);
  text(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
