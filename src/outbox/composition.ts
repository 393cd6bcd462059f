/** What a message is composed of. */
import type { NamedAddress } from '../protocol/mime/field.ts';
import type { Content } from '../protocol/mime/write.ts';

export interface Composition extends Content {
  readonly from: NamedAddress;
  readonly to: readonly NamedAddress[];
  readonly cc: readonly NamedAddress[];
  readonly replyTo: readonly NamedAddress[];
  readonly subject: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** Missing: one of its own. */
  readonly messageId?: string;
  readonly inReplyTo?: string;
  readonly references?: readonly string[];
}
