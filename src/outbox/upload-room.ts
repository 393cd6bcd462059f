/** Room for the uploads of each API key: they lie unused for a day, and would fill the disk that all mail needs. */
import type { Upload, UploadTable } from '../store/types-api.ts';
import { outboxError } from './errors.ts';

/** Of one key, kept or arriving: a dozen of the largest messages there are. */
const MAX_UPLOAD_OCTETS = 2_000_000_000;
/** Each has a row, and an fsync of its own. */
const MAX_UPLOADS = 1000;

interface Held {
  readonly count: number;
  readonly octets: number;
}

/** Of one upload. */
interface Place {
  /** @throws outbox.too-many-uploads */
  add(octets: number): void;
  /** Writes it down, if there is room still beside what others wrote down meanwhile. @throws outbox.too-many-uploads, store.* */
  keep(row: Upload): Promise<void>;
  close(): void;
}

export class UploadRoom {
  /** What is arriving at this process, by key. */
  readonly #arriving = new Map<string, { count: number; octets: number; kept: Held }>();
  readonly #most: Held;

  constructor(most = { count: MAX_UPLOADS, octets: MAX_UPLOAD_OCTETS }) {
    this.#most = most;
  }

  /** @param now uploads that have ended by then do not count @throws outbox.too-many-uploads, store.unavailable */
  async open(table: Pick<UploadTable, 'held' | 'insert'>, principal: Upload['principal'], now: number): Promise<Place> {
    const most = this.#most;
    const kept = await table.held(principal, now);
    const arriving = this.#arriving.get(principal) ?? { count: 0, octets: 0, kept };
    // One total for all that arrive: what one of them finishes counts for the others at once.
    arriving.kept = kept;
    if (kept.count + arriving.count >= most.count) throw tooMany(`${most.count} uploads`);
    this.#arriving.set(principal, arriving);
    arriving.count += 1;
    let own = 0;
    const full = (): Error => tooMany(`${most.octets} octets of uploads`);
    return {
      add(octets) {
        own += octets;
        arriving.octets += octets;
        if (arriving.kept.octets + arriving.octets > most.octets) throw full();
      },
      async keep(row) {
        // Counted once more where it is written: other processes take uploads too.
        if (!(await table.insert(row, most))) throw full();
        arriving.octets -= own;
        own = 0;
        arriving.kept = { count: arriving.kept.count + 1, octets: arriving.kept.octets + row.size };
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
