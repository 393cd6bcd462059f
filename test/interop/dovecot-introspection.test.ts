/** Real mail programs, the gateway, Dovecot that asks oidc-provider about opaque tokens (RFC 7662), reached by STARTTLS. */
import { exerciseDovecot } from './dovecot.ts';

exerciseDovecot('introspection', ['plain', 'starttls']);
