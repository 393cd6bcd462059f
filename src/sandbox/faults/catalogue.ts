/** Every fault of the tenant, as data. */
import { authorityRows } from './authority-rows.ts';
import { imapRows, pop3Rows } from './imap-rows.ts';
import { graphRows, networkRows } from './network-rows.ts';
import { smtpRows } from './smtp-rows.ts';
import type { Effect, FaultRow, FaultStage, Place } from './types.ts';

const tables = {
  authority: authorityRows,
  imap: imapRows,
  pop3: pop3Rows,
  smtp: smtpRows,
  graph: graphRows,
  network: networkRows,
} as const satisfies Readonly<Record<FaultStage, Readonly<Record<string, FaultRow>>>>;

export type FaultId = { [S in FaultStage]: keyof (typeof tables)[S] }[FaultStage];

export interface Fault extends FaultRow {
  /** Stable: commands, addresses and tests name it. */
  readonly id: FaultId;
  readonly stage: FaultStage;
  readonly effect: Effect;
}

/** In the order of the way: authority, IMAP, POP3, SMTP, Graph, network. */
export const faults: readonly Fault[] = Object.entries(tables).flatMap(([stage, rows]) =>
  Object.entries<FaultRow>(rows).map(([id, row]) => ({
    effect: { type: 'behaviour' },
    ...row,
    id: id as FaultId,
    stage: stage as FaultStage,
  })),
);

export function findFault(id: string): Fault | undefined {
  return byId.get(id);
}

/** The doors a fault can bite at. */
export function doorsOf({ stage, doors }: Fault): readonly Place[] {
  return stage === 'network' ? (doors ?? places) : [stage];
}

export const places: readonly Place[] = ['authority', 'graph', 'imap', 'pop3', 'smtp'];

const byId: ReadonlyMap<string, Fault> = new Map(faults.map((fault) => [fault.id, fault]));
