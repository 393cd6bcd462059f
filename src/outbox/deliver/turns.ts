/** Whose mail is next where there are more who wait than places: tenants in turn, and the mailboxes of each in turn. */
import type { DueMailbox } from '../../store/types-outbox.ts';

/** Remembers where it was left off. A tenant is the application its mailboxes consented to; one is registered for each. */
export class Turns {
  #lastTenant = '';
  readonly #lastOf = new Map<string, string>();

  /** One mailbox of each tenant, then the second of each, and so on. */
  order(due: readonly DueMailbox[]): readonly DueMailbox[] {
    const tenants = Map.groupBy(due, ({ tenant }) => tenant);
    const lines = fromThereOn([...tenants.keys()].toSorted(), this.#lastTenant).map((tenant) => {
      const boxes = tenants.get(tenant)!.map(({ mailbox }) => mailbox);
      return fromThereOn(boxes.toSorted(), this.#lastOf.get(tenant) ?? '').map((mailbox) => ({ mailbox, tenant }));
    });
    const longest = Math.max(0, ...lines.map(({ length }) => length));
    return Array.from({ length: longest }, (_, place) => lines.flatMap((line) => line.slice(place, place + 1))).flat();
  }

  /** Has had its turn. */
  had({ mailbox, tenant }: DueMailbox): void {
    this.#lastTenant = tenant;
    this.#lastOf.set(tenant, mailbox);
  }
}

function fromThereOn(names: readonly string[], last: string): readonly string[] {
  return [...names.filter((one) => one > last), ...names.filter((one) => one <= last)];
}
