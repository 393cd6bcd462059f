/** Name, address and TLS connection of one server, each as a step of its own. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { protocolError } from '../protocol/errors.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import { asError, type PosternError } from '../base/error.ts';
import { connectTo, type MailServer, type SignInLimits } from '../upstream/sign-in.ts';
import type { Found } from './step.ts';

/** Which addresses a name has. @throws wire.unreachable */
export async function resolveName(host: string): Promise<Found> {
  if (isIP(host)) return { says: `${host} is an address`, facts: { host, addresses: [host] } };
  try {
    const addresses = (await lookup(host, { all: true })).map(({ address }) => address);
    const more = addresses.length > 2 ? ` and ${addresses.length - 2} more` : '';
    return { says: `${host} is ${addresses.slice(0, 2).join(', ')}${more}`, facts: { host, addresses } };
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? '';
    const why = reason === 'ENOTFOUND' ? 'has no address in DNS' : `could not be looked up (${reason})`;
    throw protocolError('wire.unreachable', `the name ${host} ${why}`, { detail: { host, reason }, cause });
  }
}

/** How far a connection came: failed at TCP, failed at TLS, or open. */
export type Reached =
  | { readonly type: 'open'; readonly conn: Conn; readonly milliseconds: number }
  | { readonly type: 'no-tcp'; readonly error: PosternError }
  | { readonly type: 'no-tls'; readonly error: PosternError };

export async function reach(server: MailServer, limits: SignInLimits, now: () => number): Promise<Reached> {
  const startedAt = now();
  try {
    const conn = await connectTo(server, limits);
    return { type: 'open', conn, milliseconds: now() - startedAt };
  } catch (thrown) {
    limits.signal?.throwIfAborted();
    const error = asError(thrown);
    return { type: error.code.startsWith('tls.') ? 'no-tls' : 'no-tcp', error };
  }
}
