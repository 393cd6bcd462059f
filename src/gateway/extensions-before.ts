/** What EHLO and CAPA say before anybody has signed in. */
import { asError } from '../base/error.ts';
import type { Protocol } from '../store/protocols.ts';
import { commonExtensions } from './capabilities.ts';
import type { Surroundings } from './surroundings.ts';

/** The lines that every way behind this port honours, the cautious ones while our database is away. Never throws. */
export async function extensionsBefore(around: Surroundings, protocol: Protocol): Promise<readonly string[]> {
  const own = protocol === 'smtp' ? await ofOutbox(around) : undefined;
  if (own?.exclusive === true) return own.lines;
  const lines = await around.books[protocol as 'smtp' | 'pop3'].lines();
  return own === undefined ? lines : commonExtensions('smtp', [lines, own.lines]);
}

async function ofOutbox({ deps }: Surroundings) {
  try {
    return await deps.submission?.extensions();
  } catch (error) {
    deps.log.warn({ code: asError(error).code }, 'cannot tell whose mail goes to the outbox; EHLO says less');
    return undefined;
  }
}
