/** Rights that name a mailbox, when there is no such mailbox any more. */
import type { Withdrawal } from '../types-api.ts';
import { fromJson } from './json.ts';

interface Row {
  readonly id: string;
  readonly label: string;
  readonly mailboxes: string;
  readonly revoked_at: number | null;
}

/** What is left of rows that name one of these; others are left out. What is revoked already stays so, and is not told of. */
export function withoutNames(rows: readonly Row[], names: readonly string[], at: number) {
  return rows.flatMap((row) => {
    const named: readonly string[] = fromJson(row.mailboxes, 'mailboxes');
    const left = named.filter((name) => !names.includes(name));
    if (left.length === named.length) return [];
    const ends = left.length === 0 && row.revoked_at === null;
    const change = { mailboxes: JSON.stringify(left), revoked_at: ends ? at : row.revoked_at };
    const holder: Withdrawal | undefined =
      row.revoked_at === null ? { id: row.id, label: row.label, revoked: ends } : undefined;
    return [{ id: row.id, change, holder }];
  });
}
