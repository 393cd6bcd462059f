/** Columns that hold JSON text. */
import { storeError } from '../errors.ts';

/** Reads what we wrote. @throws store.damaged */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names what it wrote there itself
export function fromJson<T>(text: string, column: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw storeError('store.damaged', `the column ${column} holds something that is no JSON`, { cause });
  }
}

/** A copy without the keys whose value is undefined: what a row needs to be sent as an update. */
export function defined<T extends object>(row: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
