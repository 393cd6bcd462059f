/** Who asks for an act, what they may do, and how the audit log names them. */
import { opens as ofKey, opensAll } from '../access/api-sign-in.ts';
import type { Audit, AuditEntry } from '../audit/types.ts';
import type { ApiAction, ApiKey } from '../store/types-api.ts';
import { adminError } from './errors.ts';

/** What an act needs. What an API key cannot hold is for whoever runs this machine. */
export type Permission =
  | ApiAction
  | 'app-passwords:read'
  | 'app-passwords:write'
  | 'api-keys:read'
  | 'api-keys:write'
  | 'mailboxes:write'
  | 'applications:write';

export type Actor =
  /** Whoever may read the home of this installation may do everything with it. */
  | { readonly type: 'system-user'; readonly name: string }
  | {
      readonly type: 'api-key';
      readonly key: Pick<ApiKey, 'id' | 'actions' | 'mailboxes'>;
      readonly requestId: string;
      readonly remoteAddress: string;
      /** Asked right before something is changed: throws once the key is not good any more. */
      confirm?(): Promise<void>;
    }
  /** The owner of a mailbox, by a link that was sent to them. */
  | { readonly type: 'person'; readonly address: string; readonly permissions: readonly Permission[] }
  | { readonly type: 'app-password'; readonly id: string; readonly mailboxes: readonly string[] }
  /** One that runs beside Postern and was given a part of it: a device rule, a demonstration. */
  | { readonly type: 'program'; readonly name: string }
  | { readonly type: 'postern' };

interface Rights {
  readonly permissions: readonly (Permission | '*')[];
  readonly mailboxes: readonly string[];
}

const EVERYTHING: Rights = { permissions: ['*'], mailboxes: ['*'] };

function rightsOf(actor: Actor): Rights {
  switch (actor.type) {
    case 'system-user':
    case 'program':
    case 'postern':
      return EVERYTHING;
    case 'api-key':
      return { permissions: actor.key.actions, mailboxes: actor.key.mailboxes };
    case 'person':
      return { permissions: actor.permissions, mailboxes: [actor.address] };
    case 'app-password':
      return { permissions: ['messages:send'], mailboxes: actor.mailboxes };
  }
}

/** @throws admin.forbidden */
export function requirePermission(actor: Actor, permission: Permission): void {
  const { permissions } = rightsOf(actor);
  if (permissions.includes('*') || permissions.includes(permission)) return;
  throw adminError('admin.forbidden', `${nameOf(actor)} does not allow ${permission}`, {
    detail: { action: permission },
  });
}

/** For what is not of one mailbox. @throws admin.forbidden */
export function requireEveryMailbox(actor: Actor): void {
  if (mailboxesOf(actor) === undefined) return;
  throw adminError('admin.forbidden', `this concerns every mailbox, and ${nameOf(actor)} opens only some`);
}

/** Mailboxes an actor opens, as a filter: undefined is every one. */
export function mailboxesOf(actor: Actor): readonly string[] | undefined {
  const { mailboxes } = rightsOf(actor);
  return mailboxes.includes('*') ? undefined : mailboxes;
}

export function opens(actor: Actor, mailbox: string): boolean {
  return ofKey(rightsOf(actor), mailbox);
}

/** Whether an actor opens all that something was given for: of what names no mailbox any more, only one that opens every one. */
export function opensAllOf(actor: Actor, given: { readonly mailboxes: readonly string[] }): boolean {
  return opensAll(rightsOf(actor), given);
}

/** What kind of actor, which one, and what a record calls that. */
function identityOf(actor: Actor): readonly [kind: string, id: string, member: string] {
  switch (actor.type) {
    case 'system-user':
      return ['system user', actor.name, 'user'];
    case 'api-key':
      return ['key', actor.key.id, 'apiKeyId'];
    case 'person':
      return ['owner', actor.address, 'person'];
    case 'app-password':
      return ['app password', actor.id, 'appPasswordId'];
    case 'program':
      return ['program', actor.name, 'program'];
    case 'postern':
      return ['gateway', 'Postern', 'part'];
  }
}

/** In a sentence. */
export function nameOf(actor: Actor): string {
  const [kind, id] = identityOf(actor);
  return `the ${kind} ${id}`;
}

/** In the story of a message, where ids speak for themselves. */
export function signatureOf(actor: Actor): string {
  const [kind, id] = identityOf(actor);
  return actor.type === 'system-user' ? `${kind} ${id}` : id;
}

/** The log as one actor writes it: what every record says of who did it, added in this one place. */
export function auditOf(audit: Audit, actor: Actor): Audit {
  const [, id, member] = identityOf(actor);
  const request = actor.type === 'api-key' ? actor : undefined;
  const facts = { by: actor.type, [member]: id, ...(request && { remoteAddress: request.remoteAddress }) };
  const signed = (entry: AuditEntry): AuditEntry => ({
    ...(request && { sessionId: request.requestId }),
    ...entry,
    data: { ...entry.data, ...facts },
  });
  return {
    record: (entry) => audit.record(signed(entry)),
    along: (entry, work) => audit.along(signed(entry), work),
    ready: () => audit.ready(),
    note: (entry) => audit.note(signed(entry)),
    flush: () => audit.flush(),
  };
}
