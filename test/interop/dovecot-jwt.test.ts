/** Real mail programs, the gateway, Dovecot that validates Entra-like tokens by itself, reached by implicit TLS. */
import { exerciseDovecot } from './dovecot.ts';

exerciseDovecot('jwt', ['plain', 'tls']);
