/** The shape of every SASL mechanism (RFC 4422 §5): pure exchanges of octets, no base64, no protocol prefixes. */
import type { Secret } from '../../base/secret.ts';

export type MechanismName = 'PLAIN' | 'LOGIN' | 'XOAUTH2' | 'OAUTHBEARER';

/** Client side. `initial` is sent with the command where allowed, otherwise in answer to an empty challenge. */
export interface ClientMechanism {
  readonly name: MechanismName;
  /** The initial response; undefined where the server speaks first (LOGIN). Holds secrets: wipe by forgetting. */
  readonly initial: Buffer | undefined;
  /** The answer to one server challenge. `failure` is set when the challenge was an error report (RFC 7628 §3.2.2). */
  next(challenge: Buffer): { readonly send: Buffer; readonly failure?: BearerFailure };
}

/** What a server reports before it refuses a bearer token: RFC 7628 §3.2.2, and Google's and Microsoft's XOAUTH2 JSON. */
export interface BearerFailure {
  /** `invalid_token`, or an HTTP status as text such as `401`. */
  readonly status: string;
  readonly scope?: string;
  readonly schemes?: string;
  readonly openidConfiguration?: string;
  /** The report as it came (never holds a secret of ours). */
  readonly text: string;
}

/** What a client proved, or tried to. */
export interface Credentials {
  readonly mechanism: MechanismName;
  /** Authentication identity: who signs in. */
  readonly user: string;
  /** Authorization identity when it differs (RFC 4616 §2). */
  readonly actAs?: string;
  /** Password (PLAIN, LOGIN) or bearer token (XOAUTH2, OAUTHBEARER). An empty one is a wrong one, not a broken message. */
  readonly secret: Secret;
}

/** Server side: fed the client's responses until it yields credentials. */
export interface ServerMechanism {
  readonly name: MechanismName;
  /** The challenge to send when the command carried no initial response. */
  readonly first: Buffer;
  /** @throws sasl.malformed */
  next(
    response: Buffer,
  ):
    | { readonly type: 'challenge'; readonly send: Buffer }
    | { readonly type: 'credentials'; readonly credentials: Credentials };
}
