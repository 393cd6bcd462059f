/**
 * `postern/sasl`: signing in with an OAuth 2.0 access token, XOAUTH2 and OAUTHBEARER (RFC 7628), client and server. Pure
 * exchanges of octets: the caller puts them into IMAP, POP3 or SMTP, with {@link encodeInitial} and the like.
 */
export { Secret } from '../../base/secret.ts';
export { bearerFailure } from './mechanisms.ts';
export { CANCEL, decodeInitial, decodeResponse, encodeInitial, encodeResponse } from './line.ts';
export type { BearerFailure, ClientMechanism, Credentials, MechanismName, ServerMechanism } from './mechanism.ts';
export { oauthbearerClient, type OauthbearerIdentity, oauthbearerServer } from './oauthbearer.ts';
export { xoauth2Client, xoauth2Server } from './xoauth2.ts';
