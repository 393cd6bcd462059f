/** LOGIN, never standardised (draft-murchison-sasl-login): the server asks for user name and password, one line each. */
import { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import { utf8 } from './line.ts';
import type { ClientMechanism, ServerMechanism } from './mechanism.ts';

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

/** The prompts are those Exchange sends; some devices compare them to the letter. */
export function loginServer(): ServerMechanism {
  let user: string | undefined;
  return {
    name: 'LOGIN',
    first: Buffer.from('Username:'),
    next(response) {
      if (user === undefined) {
        user = utf8(response);
        return { type: 'challenge', send: Buffer.from('Password:') };
      }
      const secret = Secret.offered(utf8(response));
      return { type: 'credentials', credentials: { mechanism: 'LOGIN', user, secret } };
    },
  };
}
