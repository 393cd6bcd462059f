/** A message on its way in: header looked at, octets sealed chunk by chunk. */
import { newId } from '../store/id.ts';
import type { OutboxTable } from '../store/types-outbox.ts';
import type { Vault } from '../vault/types.ts';
import { BodyWriter, recordOf, type Written } from './body.ts';
import { outboxError } from './errors.ts';
import { HeaderReader, MAX_HEADER } from '../protocol/mime/header-fields.ts';
import { type Header, type HeaderOptions, OctetCheck, readHeader } from './header.ts';

export interface Arrival extends Written {
  readonly bodyId: string;
  /** The data key, sealed. */
  readonly sealed: Uint8Array;
  readonly header: Header;
  readonly eightBit: boolean;
}

interface Digest {
  update(octets: Uint8Array): unknown;
}

export interface ArrivalOptions extends Omit<HeaderOptions, 'domain'> {
  /** Address whose domain a Message-ID made here gets. */
  readonly mailbox: string;
  readonly maxOctets: number;
}

/** The octets of one message on their way in: what is not taken in the end would fill the disk until the sweep comes. */
export class Arriving {
  readonly #table: Pick<OutboxTable, 'addChunks' | 'dropArriving'>;
  readonly #ids = new Set<string>();

  constructor(table: Pick<OutboxTable, 'addChunks' | 'dropArriving'>) {
    this.#table = table;
  }

  addChunks(...[bodyId, at, chunks]: Parameters<OutboxTable['addChunks']>): Promise<void> {
    this.#ids.add(bodyId);
    return this.#table.addChunks(bodyId, at, chunks);
  }

  /** A message has them. */
  taken(): void {
    this.#ids.clear();
  }

  /** Removes what no message has; where the database is away, the sweep finds it. */
  async drop(): Promise<void> {
    for (const bodyId of this.#ids) await this.#table.dropArriving(bodyId).catch(() => undefined);
  }
}

/**
 * Reads a message to its end. All chunks but the last are written by then; those of a message that is not taken in the end
 * are removed by {@link Outbox.tidy}. @param seen is called with the header, before anything is written, and may throw; what
 * it gives is fed all octets as they came
 * @throws outbox.too-large, outbox.header, outbox.bare-newline, store.unavailable, what `body` throws
 */
export async function takeIn(
  vault: Vault,
  table: Pick<OutboxTable, 'addChunks'>,
  options: ArrivalOptions,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  seen: (header: Header) => Digest | undefined = () => undefined,
): Promise<Arrival> {
  const bodyId = newId('bod', options.now);
  const { sealed, key } = await vault.newDataKey(recordOf(bodyId));
  const writer = new BodyWriter(key, options.maxOctets, (number, data) =>
    table.addChunks(bodyId, options.now, [{ number, data }]),
  );
  const fields: HeaderOptions = { ...options, domain: options.mailbox.slice(options.mailbox.lastIndexOf('@') + 1) };
  let header: Header | undefined;
  let digest: Digest | undefined;
  const reader = new HeaderReader();
  const check = new OctetCheck();
  const read = async (octets: Buffer): Promise<void> => {
    header = readHeader(octets, fields);
    digest = seen(header);
    await writer.add(header.octets);
  };
  for await (const piece of body) {
    const octets = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    check.look(octets);
    let rest = octets;
    if (!header) {
      const end = reader.add(octets);
      if (end === undefined) {
        if (reader.endless) throw outboxError('outbox.header', `the header has more than ${MAX_HEADER} octets`);
        continue;
      }
      const begin = reader.octets;
      await read(begin.subarray(0, end));
      digest?.update(begin);
      rest = begin.subarray(end);
    } else digest?.update(octets);
    await writer.add(rest);
  }
  check.end();
  if (!header) {
    // A header alone is a message too; what is missing of its end is added.
    const came = reader.octets;
    const ended = came.length === 0 || came.subarray(-2).toString('latin1') === '\r\n';
    await read(Buffer.concat([came, Buffer.from(ended ? '\r\n' : '\r\n\r\n')]));
    digest?.update(came);
  }
  return { ...writer.end(), bodyId, sealed, header: header!, eightBit: check.eightBit };
}
