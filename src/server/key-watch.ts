/** Whether the file of the master key still opens the vault: this process has the key in memory, its next start has only the file. */
import { asError, isError } from '../base/error.ts';
import { openVault } from '../vault/open.ts';
import { type Instance, keySource } from './instance.ts';

/** Milliseconds between two looks. */
const LOOK_MS = 30_000;
/** A file that is put in place by renaming, or a key that is being changed, is away for a moment. */
const LOOKS_UNTIL_GONE = 2;

export interface KeyWatch extends AsyncDisposable {
  /** What is wrong with the file, in plain words. */
  warnings(): readonly string[];
}

/** A passphrase and a variable are nowhere to be looked at. */
export function watchKey({ clock, config, log, store }: Instance): KeyWatch {
  const { key } = config;
  let trouble: string | undefined;
  let missed = 0;
  const judge = async (): Promise<void> => {
    try {
      await openVault(store.settings, keySource(key));
      missed = 0;
      trouble = undefined;
    } catch (error) {
      // Of the database somebody else tells.
      if (!isError(error) || !error.code.startsWith('vault.')) return;
      missed += 1;
      if (missed < LOOKS_UNTIL_GONE || trouble !== undefined) return;
      trouble = `the master key can no longer be read (${asError(error).message}): this process has it in memory, the next start will not`;
      log.error({ code: error.code, hint: HINT }, trouble);
    }
  };
  const look = (): void => {
    void judge().finally(() => {
      if (!stopped) timer = clock.after(LOOK_MS, look);
    });
  };
  const isFile = key.source === 'file' || key.source === 'credential';
  let stopped = !isFile;
  let timer = isFile ? clock.after(LOOK_MS, look) : undefined;
  return {
    warnings: () => (trouble === undefined ? [] : [trouble]),
    async [Symbol.asyncDispose]() {
      stopped = true;
      timer?.cancel();
    },
  };
}

const HINT =
  'put the key file back from its copy before this server stops, or what is sealed with it is lost: consents and waiting mail; docs/backup.md';
