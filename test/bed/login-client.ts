/** The client half of LOGIN, as mail programs have it. */
import type { Secret } from '../../src/base/secret.ts';
import { protocolError } from '../../src/protocol/errors.ts';
import type { ClientMechanism } from '../../src/protocol/sasl/mechanism.ts';

export function loginClient(who: { readonly user: string; readonly password: Secret }): ClientMechanism {
  const answers = [who.user, who.password.reveal()];
  return {
    name: 'LOGIN',
    initial: undefined,
    next() {
      const send = answers.shift();
      if (send === undefined) throw protocolError('sasl.malformed', 'the server asked more than LOGIN has to say');
      return { send: Buffer.from(send) };
    },
  };
}
