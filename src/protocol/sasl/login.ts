/** LOGIN, never standardised (draft-murchison-sasl-login): the server asks for user name and password, one line each. */
import { Secret } from '../../base/secret.ts';
import { utf8 } from './line.ts';
import type { ServerMechanism } from './mechanism.ts';

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
