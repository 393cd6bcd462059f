/** Whom a message is from by its own header. */
import { headerAddresses } from '../header-addresses.ts';
import { headerEnd, MOST_HEADER } from '../header.ts';
import type { SendJob } from './types.ts';

/** The address of `From`; the envelope's where the header has none that can be read. @throws what `body` throws */
export async function authorOf({ body, message }: Pick<SendJob, 'body' | 'message'>): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body()) {
    pieces.push(piece);
    size += piece.length;
    if (size > MOST_HEADER || piece.includes(0x0a)) {
      const header = Buffer.concat(pieces);
      const end = headerEnd(header);
      if (end !== undefined) return fromOf(header.subarray(0, end)) ?? message.envelopeFrom;
      if (size > MOST_HEADER) break;
    }
  }
  return message.envelopeFrom;
}

function fromOf(header: Uint8Array): string | undefined {
  try {
    return headerAddresses(header).from;
  } catch {
    // An address elsewhere in the header that is none: the envelope has to do.
    return undefined;
  }
}
