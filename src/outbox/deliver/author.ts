/** Whom a message is from by its own header. */
import { HeaderReader } from '../../protocol/mime/header-fields.ts';
import { headerAddresses } from '../header-addresses.ts';
import type { SendJob } from './types.ts';

/** The address of `From`; the envelope's where the header has none that can be read. @throws what `body` throws */
export async function authorOf({ body, message }: Pick<SendJob, 'body' | 'message'>): Promise<string> {
  const header = await headerOf(body);
  return (header && fromOf(header)) ?? message.envelopeFrom;
}

/** The header of a message, as far as it has one of a header's length. @throws what `body` throws */
export async function headerOf(body: SendJob['body']): Promise<Buffer | undefined> {
  const reader = new HeaderReader();
  for await (const piece of body()) {
    const end = reader.add(piece);
    if (end !== undefined) return reader.octets.subarray(0, end);
    if (reader.endless) break;
  }
  return undefined;
}

function fromOf(header: Uint8Array): string | undefined {
  try {
    return headerAddresses(header).from;
  } catch {
    // An address elsewhere in the header that is none: the envelope has to do.
    return undefined;
  }
}
