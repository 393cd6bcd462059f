/** Attachments sent ahead of the message that carries them: sealed like messages, forgotten after a day. */
import type { Clock } from '../base/clock.ts';
import { newId } from '../store/id.ts';
import type { Upload } from '../store/types-api.ts';
import type { Store } from '../store/types.ts';
import type { Vault } from '../vault/types.ts';
import type { UploadRoom } from './upload-room.ts';
import { BodyWriter, readBody, recordOf } from './body.ts';

export interface UploadDeps {
  readonly store: Store;
  readonly vault: Vault;
  readonly clock: Clock;
}
interface TakeDeps extends UploadDeps {
  readonly room: UploadRoom;
  /** Asked right before the upload is written down: throws if whoever sends it may not do so any more. */
  confirm?(): Promise<void>;
}

const KEEP_MS = 86_400_000;

/**
 * Takes in the octets; durable when the promise resolves. What a broken off upload leaves is removed at once, or by the outbox's
 * sweep. @throws outbox.too-large, outbox.too-many-uploads, store.unavailable, what `body` throws
 */
export async function takeUpload(
  deps: TakeDeps,
  facts: Pick<Upload, 'principal' | 'filename' | 'contentType'> & { readonly maxOctets: number },
  body: AsyncIterable<Uint8Array>,
): Promise<Upload> {
  const { store, vault, clock } = deps;
  const { maxOctets, ...named } = facts;
  const id = newId('upl');
  const now = clock.now();
  const { sealed, key } = await vault.newDataKey(recordOf(id));
  const write = (number: number, data: Uint8Array): Promise<void> =>
    store.outbox.addChunks(id, now, [{ number, data }]);
  const writer = new BodyWriter(key, maxOctets, write);
  const room = await deps.room.open(store.uploads, named.principal, now);
  try {
    for await (const octets of body) {
      room.add(octets.length);
      await writer.add(octets);
    }
    const { size, chunks, rest } = writer.end();
    await write(rest.number, rest.data);
    await deps.confirm?.();
    const row = { id, ...named, size, key: sealed, chunks, createdAt: now, expiresAt: now + KEEP_MS };
    await room.keep(row);
    return row;
  } catch (error) {
    // Until the sweep comes they would take the room of others. Where the database is away, the sweep finds them.
    await store.outbox.dropArriving(id).catch(() => undefined);
    throw error;
  } finally {
    room.close();
  }
}

/** The octets, read as they are needed. @throws vault.damaged */
export function uploadOctets({ store, vault }: Omit<UploadDeps, 'clock'>, upload: Upload): AsyncIterable<Uint8Array> {
  const { id, key, chunks } = upload;
  return readBody(vault, store.outbox, { id, bodyId: id, key, chunks });
}
