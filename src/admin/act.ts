/** One act, one function: what is asked for is read, allowed, done and put on the audit log here, whoever asks. */
import type { z } from 'zod';
import type { Audit, AuditEntry, AuditType } from '../audit/types.ts';
import type { Mailbox, Store } from '../store/types.ts';
import { type Actor, auditOf, type Permission, requireEveryMailbox, requirePermission } from './actor.ts';
import { asError } from '../base/error.ts';
import { adminError, wrongInput } from './errors.ts';
import { findMailbox, findOpened } from './find.ts';

/** What {@link perform} itself needs; an act says in its `run` what it needs besides. */
export interface ActDeps {
  readonly store: Store;
  readonly audit: Audit;
}

/** What an act works with: its audit log names the actor in every record. */
export type Desk<D extends ActDeps> = D & {
  readonly actor: Actor;
  /** What {@link Act.scope} named, in its order, without `*`. */
  readonly mailboxes: readonly Mailbox[];
};

export interface Act<D extends ActDeps, I extends z.ZodType, O> {
  /** What it is about and what it does: `suppressions.add`. */
  readonly name: string;
  readonly summary: string;
  readonly permission: Permission;
  readonly input: I;
  /** What it gives, or each of the list that it gives, as JSON: of its members these. Missing: only programs of ours ask for it. */
  readonly gives?: z.ZodType;
  /**
   * Mailboxes it is about, `*` for every one. Missing: the act looks by itself, since only what it works on says whose it is.
   */
  scope?(input: z.output<I>): readonly string[];
  /** It changes the mailbox itself, so an address that another mailbox opens will not do. */
  readonly changesMailbox?: true;
  /** The type of its record, or what was changed in one of the type `api.changed`; missing for acts that only read. */
  readonly audits?: AuditType;
  readonly what?: string;
  /** @throws admin.not-found, admin.forbidden, and what the rooms below throw */
  run(desk: Desk<D>, input: z.output<I>): Promise<O> | O;
  /** What is put on record. Missing: the room below that does the work does so. */
  record?(output: O, input: z.output<I>): readonly Pick<AuditEntry, 'mailbox' | 'data'>[];
}

/** An act as written down: gives the parts of it their types. */
export function act<
  D extends ActDeps,
  I extends z.ZodType,
  O extends z.output<G> | Page<z.output<G>>,
  G extends z.ZodType = z.ZodType,
>(one: Act<D, I, O> & { readonly gives?: G }): Act<D, I, O> {
  return one;
}

/** @throws admin.input, admin.forbidden, admin.not-found, and what the act throws; then nothing is on record */
export async function perform<D extends ActDeps, I extends z.ZodType, O>(
  act: Act<D, I, O>,
  deps: D,
  actor: Actor,
  asked: z.input<I>,
): Promise<O> {
  const parsed = act.input.safeParse(asked);
  if (!parsed.success) throw wrongInput(parsed.error.issues);
  requirePermission(actor, act.permission);
  const mailboxes: Mailbox[] = [];
  for (const address of new Set(act.scope?.(parsed.data))) {
    if (address === '*') requireEveryMailbox(actor);
    else mailboxes.push(await (act.changesMailbox ? findMailbox : findOpened)(deps, address, actor));
  }
  const audit = auditOf(deps.audit, actor);
  if (changes(act)) {
    await audit.ready().catch((error: unknown) => {
      const { message } = asError(error);
      throw adminError('admin.unrecorded', `nothing was changed, since the audit log cannot be written: ${message}`, {
        cause: error,
      });
    });
    // A right counts when it is used: the key of a request may have ended since the request began.
    if (actor.type === 'api-key') await actor.confirm?.();
  }
  const output = await act.run({ ...deps, audit, actor, mailboxes }, parsed.data);
  const type = act.audits ?? 'api.changed';
  for (const { mailbox, data } of act.record?.(output, parsed.data) ?? [])
    await audit
      .record({
        type,
        outcome: 'ok',
        ...(mailbox === undefined ? {} : { mailbox }),
        data: { ...data, ...(act.what === undefined ? {} : { what: act.what }) },
      })
      .catch((error: unknown) => {
        const { message } = asError(error);
        throw adminError('admin.unrecorded', `it was done, but could not be recorded in the audit log: ${message}`, {
          hint: 'see what stands against the audit log: postern check, postern audit verify. The change itself stays',
          cause: error,
        });
      });
  return output;
}

function changes({ audits, what, permission }: Pick<Act<never, never, unknown>, 'audits' | 'what' | 'permission'>) {
  return audits !== undefined || what !== undefined || permission.endsWith(':write');
}

/** Some of a list, and whether there are more behind it. */
export interface Page<R> {
  readonly rows: readonly R[];
  readonly more: boolean;
}

/** @param list gives at most so many; one more than asked for shows whether there are more without counting */
export async function pageOf<R>(limit: number, list: (limit: number) => Promise<readonly R[]>): Promise<Page<R>> {
  const rows = await list(limit + 1);
  return { rows: rows.slice(0, limit), more: rows.length > limit };
}
