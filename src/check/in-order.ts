/** A few pieces of work at a time, their results in the order of what they are about. */

/** Most of a check is waiting for servers; many more at once, and a provider may take it for an attack. */
export const AT_A_TIME = 4;

export interface Started<Result> {
  readonly result: Promise<Result>;
  /** Called once everything before it is done, which may be before this is. */
  readonly turn?: () => void;
}

/** Begins at most `most` at once. After a failure nothing new is begun, and it is thrown when what runs has ended. */
export async function* inOrder<Item, Result>(
  items: readonly Item[],
  most: number,
  start: (item: Item) => Started<Result>,
): AsyncGenerator<Result, void, void> {
  const running: Started<Result>[] = [];
  let next = 0;
  let failed = false;
  const mayBegin = (): boolean => !failed && next < items.length && running.length < most;
  const begin = (): void => {
    while (mayBegin()) {
      const started = start(items[next++]!);
      // It is thrown below, in turn; here it only keeps more from being begun.
      started.result.catch(() => (failed = true));
      running.push(started);
    }
  };
  for (begin(); running.length > 0; begin()) {
    const [first] = running;
    first!.turn?.();
    try {
      yield await first!.result;
    } catch (error) {
      await Promise.allSettled(running.map(({ result }) => result));
      throw error;
    }
    running.shift();
  }
}
