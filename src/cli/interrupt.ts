/** Ctrl-C while a command works: what is under way is ended in order, instead of the process. */

/** For as long as it is in scope. @param reason why work that is aborted ended */
export function onInterrupt(
  reason: () => Error,
  signals: readonly NodeJS.Signals[] = ['SIGINT'],
): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController();
  const interrupt = (): void => stop.abort(reason());
  for (const signal of signals) process.once(signal, interrupt);
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => signals.forEach((signal) => process.off(signal, interrupt)),
  };
}
