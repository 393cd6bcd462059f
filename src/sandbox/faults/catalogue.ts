/** Every fault of the tenant, as data. */
import { authorityRows } from './authority-rows.ts';
import { imapRows } from './imap-rows.ts';
import { graphRows, networkRows } from './network-rows.ts';
import { smtpRows } from './smtp-rows.ts';
import type { FaultRow, Place } from './types.ts';

const rows = { ...authorityRows, ...imapRows, ...smtpRows, ...graphRows, ...networkRows };

export type FaultId = keyof typeof rows;

export interface Fault extends FaultRow {
  /** Stable: commands, addresses and tests name it. */
  readonly id: FaultId;
}

/** In the order of the way: authority, IMAP, POP3, SMTP, Graph, network. */
export const faults: readonly Fault[] = Object.entries<FaultRow>(rows).map(([id, row]) => ({
  ...row,
  id: id as FaultId,
}));

export function findFault(id: string): Fault | undefined {
  return byId.get(id);
}

/** The doors a fault can bite at. */
export function doorsOf({ stage, doors }: Fault): readonly Place[] {
  return stage === 'network' ? (doors ?? places) : [stage];
}

export const places: readonly Place[] = ['authority', 'graph', 'imap', 'pop3', 'smtp'];

const byId: ReadonlyMap<string, Fault> = new Map(faults.map((fault) => [fault.id, fault]));
