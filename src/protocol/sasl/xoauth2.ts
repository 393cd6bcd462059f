/** XOAUTH2, without an RFC: Google "XOAUTH2 mechanism", Microsoft "Authenticate an IMAP, POP or SMTP connection using OAuth". */
import type { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { bearerToken, readFailure, readPairs } from './bearer.ts';
import { utf8 } from './line.ts';
import type { ClientMechanism, ServerMechanism } from './mechanism.ts';

export function xoauth2Client(who: { readonly user: string; readonly token: Secret }): ClientMechanism {
  return {
    name: 'XOAUTH2',
    initial: Buffer.from(`user=${who.user}\x01auth=Bearer ${who.token.reveal()}\x01\x01`),
    // A challenge is an error report and wants an empty answer before the server refuses (Google).
    next: (challenge) => ({ send: Buffer.alloc(0), failure: readFailure(challenge) }),
  };
}

export function xoauth2Server(): ServerMechanism {
  return {
    name: 'XOAUTH2',
    first: Buffer.alloc(0),
    next(response) {
      const pairs = readPairs(utf8(response));
      const user = pairs.get('user');
      if (user === undefined) throw protocolError('sasl.malformed', 'the XOAUTH2 message names no user');
      return { type: 'credentials', credentials: { mechanism: 'XOAUTH2', user, secret: bearerToken(pairs) } };
    },
  };
}
