/** What a message is composed of. */

export interface NamedAddress {
  readonly name: string;
  readonly address: string;
}

export interface Attachment {
  readonly filename: string;
  readonly contentType: string;
  /** Octets that are here, or that are read when their turn comes. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** Shown inside the HTML by `cid:`; without angle brackets. */
  readonly cid?: string;
}

export interface Composition {
  readonly from: NamedAddress;
  readonly to: readonly NamedAddress[];
  readonly cc: readonly NamedAddress[];
  readonly replyTo: readonly NamedAddress[];
  readonly subject: string;
  readonly text?: string;
  readonly html?: string;
  readonly attachments: readonly Attachment[];
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly inReplyTo?: string;
  readonly references?: readonly string[];
}
