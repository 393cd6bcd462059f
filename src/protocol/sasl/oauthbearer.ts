/** OAUTHBEARER, RFC 7628: a GS2 header (RFC 5801 §4), then pairs; an error report is answered with one %x01. */
import type { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { bearerToken, readFailure, readPairs } from './bearer.ts';
import { utf8 } from './line.ts';
import type { ClientMechanism, ServerMechanism } from './mechanism.ts';

export interface OauthbearerIdentity {
  readonly user: string;
  readonly token: Secret;
  /** The host and port really connected to: strict servers compare them (RFC 7628 §3.1). */
  readonly host: string;
  readonly port: number;
}

export function oauthbearerClient({ user, token, host, port }: OauthbearerIdentity): ClientMechanism {
  const name = user.replaceAll('=', '=3D').replaceAll(',', '=2C');
  return {
    name: 'OAUTHBEARER',
    initial: Buffer.from(`n,a=${name},\x01host=${host}\x01port=${port}\x01auth=Bearer ${token.reveal()}\x01\x01`),
    next: (challenge) => ({ send: Buffer.from('\x01'), failure: readFailure(challenge) }),
  };
}

export function oauthbearerServer(): ServerMechanism {
  return {
    name: 'OAUTHBEARER',
    first: Buffer.alloc(0),
    next(response) {
      const text = utf8(response);
      // Channel binding is not offered, so `p=` is refused; `y` and `n` are both fine (RFC 5801 §5).
      const header = /^[ny],(?:a=([^,\x01]*))?,\x01/.exec(text);
      if (!header) throw protocolError('sasl.malformed', 'the OAUTHBEARER message has no valid header');
      if (header[1] === undefined) throw protocolError('sasl.malformed', 'the OAUTHBEARER message names no user');
      const user = header[1].replaceAll('=2C', ',').replaceAll('=3D', '=');
      const pairs = readPairs(text.slice(header[0].length));
      return {
        type: 'credentials',
        credentials: { mechanism: 'OAUTHBEARER', user, secret: bearerToken(pairs) },
      };
    },
  };
}
