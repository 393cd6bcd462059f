/** PLAIN, RFC 4616: `[authzid] NUL authcid NUL passwd`. */
import { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { utf8 } from './line.ts';
import type { ClientMechanism, ServerMechanism } from './mechanism.ts';

export function plainClient(who: {
  readonly user: string;
  readonly password: Secret;
  readonly actAs?: string;
}): ClientMechanism {
  return {
    name: 'PLAIN',
    initial: Buffer.from(`${who.actAs ?? ''}\0${who.user}\0${who.password.reveal()}`),
    next() {
      throw protocolError('sasl.malformed', 'the server sent a challenge where PLAIN has none');
    },
  };
}

export function plainServer(): ServerMechanism {
  return {
    name: 'PLAIN',
    first: Buffer.alloc(0),
    next(response) {
      const first = response.indexOf(0);
      const second = response.indexOf(0, first + 1);
      if (first === -1 || second === -1)
        throw protocolError('sasl.malformed', 'the PLAIN message does not have three parts');
      const actAs = utf8(response.subarray(0, first));
      const user = utf8(response.subarray(first + 1, second));
      const secret = Secret.offered(utf8(response.subarray(second + 1)));
      return {
        type: 'credentials',
        credentials: { mechanism: 'PLAIN', user, secret, ...(actAs === '' || actAs === user ? {} : { actAs }) },
      };
    },
  };
}
