/** Room for the uploads of each API key: they lie unused for a day, and would fill the disk that all mail needs. */
import type { Upload, UploadTable } from '../store/types-api.ts';
import { outboxError } from './errors.ts';

/** Of one key, kept or arriving: a dozen of the largest messages there are. */
const MAX_UPLOAD_OCTETS = 2_000_000_000;
/** Each has a row, and an fsync of its own. */
const MAX_UPLOADS = 1000;

export class UploadRoom {
  /** What is arriving at this process, by key. */
  readonly #arriving = new Map<string, { count: number; octets: number }>();
  readonly #most: { readonly count: number; readonly octets: number };

  constructor(most = { count: MAX_UPLOADS, octets: MAX_UPLOAD_OCTETS }) {
    this.#most = most;
  }

  /** @param now uploads that have ended by then do not count @throws outbox.too-many-uploads, store.unavailable */
  async open(
    table: Pick<UploadTable, 'held'>,
    principal: Upload['principal'],
    now: number,
  ): Promise<{ add(octets: number): void; close(): void }> {
    const most = this.#most;
    const kept = await table.held(principal, now);
    const arriving = this.#arriving.get(principal) ?? { count: 0, octets: 0 };
    if (kept.count + arriving.count >= most.count) throw tooMany(`${most.count} uploads`);
    this.#arriving.set(principal, arriving);
    arriving.count += 1;
    let own = 0;
    return {
      add(octets) {
        own += octets;
        arriving.octets += octets;
        if (kept.octets + arriving.octets > most.octets) throw tooMany(`${most.octets} octets of uploads`);
      },
      close: () => {
        arriving.count -= 1;
        arriving.octets -= own;
        if (arriving.count === 0) this.#arriving.delete(principal);
      },
    };
  }
}

function tooMany(what: string): Error {
  return outboxError('outbox.too-many-uploads', `a key has at most ${what} at a time`);
}
