/** Who wants to hear of changes, and who tells them. */
import type { Log } from '../base/log.ts';
import type { Topic } from './types.ts';

export interface Watchers {
  add(topic: Topic, changed: () => void): { stop(): void };
  /** A topic changed in this process: its watchers hear of it now. */
  committed(topic: Topic): void;
  /** Revisions as read from the database: whoever watches a topic that has grown hears of it. The first call only learns. */
  observed(revisions: readonly { readonly topic: string; readonly revision: number }[]): void;
}

/** `first` is called when somebody starts to watch, `last` when nobody does any more. */
export function makeWatchers(log: Log, first: () => void, last: () => void): Watchers {
  const callbacks = new Map<Topic, Set<() => void>>();
  const seen = new Map<string, number>();
  let count = 0;

  const tell = (topic: Topic): void => {
    for (const changed of callbacks.get(topic) ?? []) {
      try {
        changed();
      } catch (error) {
        log.error({ err: error, topic }, 'a watcher of the store failed');
      }
    }
  };

  return {
    add(topic, changed) {
      // Its own function, so that the same callback given twice is two registrations.
      const entry = (): void => changed();
      const set = callbacks.get(topic) ?? new Set();
      callbacks.set(topic, set.add(entry));
      if (count++ === 0) first();
      return {
        stop() {
          if (set.delete(entry) && --count === 0) last();
        },
      };
    },
    committed: tell,
    observed(revisions) {
      for (const { topic, revision } of revisions) {
        const before = seen.get(topic);
        seen.set(topic, revision);
        if (before !== undefined && revision !== before) tell(topic as Topic);
      }
    },
  };
}
