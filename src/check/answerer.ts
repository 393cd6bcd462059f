/** Who answers at the console port: this installation's own server, another installation's, or another program. */
import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { asError, type PosternError } from '../base/error.ts';

/** Header of `/readyz` and `/healthz` with {@link ConsoleDoor.installation}. */
export const INSTALLATION_HEADER = 'postern-installation';

export interface ConsoleDoor {
  readonly host: string;
  /** Not 0. */
  readonly port: number;
  readonly tls: boolean;
  /** What the installation's own server says of itself; empty where it has no mark of its own (a database in memory). */
  readonly installation: string;
}

export type Answerer =
  /** `problems` is empty when it is ready. */
  | { readonly type: 'ours'; readonly status: number; readonly problems: readonly string[] }
  /** A server of another installation, or another program altogether. */
  | {
      readonly type: 'other';
      readonly who: 'another installation of Postern' | 'another program';
      readonly url: string;
    }
  | { readonly type: 'nobody'; readonly url: string; readonly error: PosternError };

const readiness = z.object({ problems: z.array(z.string()) });
/** A server that is well answers in milliseconds. */
const TIMEOUT_MS = 5000;
/** What is asked for is a few hundred octets. */
const MAX_OCTETS = 65_536;

/** Asks for `/readyz` and looks whose answer it is. Never rejects. */
export async function askConsole({ host, port, tls, installation }: ConsoleDoor): Promise<Answerer> {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const url = `http${tls ? 's' : ''}://${isIPv6(name) ? `[${name}]` : name}:${port}/readyz`;
  // Loaded here and not above: few commands need an HTTP client.
  const { Agent, request } = await import('undici');
  // Our own server at an address of this machine: its certificate names the host that programs use, not this address.
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false }, maxResponseSize: MAX_OCTETS });
  try {
    const answer = await request(url, { dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await answer.body.text();
    const own = answer.headers[INSTALLATION_HEADER];
    const parsed = readiness.safeParse(jsonOf(text));
    if ((own ?? '') === installation && parsed.success)
      return { type: 'ours', status: answer.statusCode, problems: parsed.data.problems };
    return { type: 'other', who: own === undefined ? 'another program' : 'another installation of Postern', url };
  } catch (thrown) {
    const error = asError(thrown);
    // It answers, and not in HTTP.
    const code = (thrown as { readonly code?: unknown }).code;
    if (typeof code === 'string' && /^(?:HPE_|UND_ERR_RES_EXCEEDED|UND_ERR_SOCKET|ERR_SSL_)/.test(code))
      return { type: 'other', who: 'another program', url };
    return { type: 'nobody', url, error };
  } finally {
    await dispatcher.destroy();
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
