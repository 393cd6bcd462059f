/** What an earlier process left in the installation when it was ended between two steps. */
import { systemClock } from '../base/clock.ts';
import { type Log, nullLog } from '../base/log.ts';
import { leftoversIn, leftoversOf, sweep } from '../vault/leftovers.ts';
import type { Config } from './config.ts';
import { markPath } from './installation-mark.ts';

/** Removes it: a second name of the master key would go along with a backup that leaves the key out. Never throws. */
export function removeLeftovers({ home, key }: Pick<Config, 'home' | 'key'>, log: Log = nullLog): void {
  const left = [
    ...(key.source === 'file' ? leftoversOf(key.path) : []),
    ...leftoversOf(markPath({ home })),
    ...leftoversOf(home.catalogue),
    ...leftoversIn(home.tls),
  ];
  // Files have the times of the machine, whatever clock the installation is run by.
  const removed = sweep(left, systemClock.now());
  if (removed.length > 0) log.warn({ removed }, 'files that an interrupted process had left were removed');
}
