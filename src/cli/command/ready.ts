/** `postern ready`: whether the server of this installation is ready, for supervisors, containers and scripts. */
import { Command } from 'commander';
import { isIPv6 } from 'node:net';
import { z } from 'zod';
import { asError } from '../../base/error.ts';
import type { Config } from '../../server/config.ts';
import { Context } from '../context.ts';
import { cliError } from '../errors.ts';

const readiness = z.object({ problems: z.array(z.string()) });
/** A server that is well answers in milliseconds. */
const TIMEOUT_MS = 5000;

export function ready(): Command {
  return new Command('ready')
    .description('ask the running server whether it is ready: what /readyz says, with or without TLS')
    .addHelpText(
      'after',
      '\nThe exit code is 0 when it is ready, 75 when it is not or does not answer.\n\nExample:\n  $ postern ready\n',
    )
    .action(async (_options: object, command: Command) => {
      const context = new Context(command);
      const { status, reasons } = await askReadiness(context.config().console);
      if (status !== 200)
        throw cliError('cli.not-ready', `the server is not ready: ${reasons.join('; ') || `it answers ${status}`}`, {
          detail: { reasons },
        });
      context.result({ ready: true }, ['ready']);
    });
}

/** @throws cli.not-ready (no answer) */
export async function askReadiness({
  host,
  port,
  tls,
}: Config['console']): Promise<{ status: number; reasons: readonly string[] }> {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const url = `http${tls ? 's' : ''}://${isIPv6(name) ? `[${name}]` : name}:${port}/readyz`;
  // Loaded here and not above: no other command needs an HTTP client for this.
  const { Agent, request } = await import('undici');
  // Our own server at an address of this machine: its certificate names the host that programs use, not this address.
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    const answer = await request(url, { dispatcher, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { problems: reasons } = readiness.parse(await answer.body.json());
    return { status: answer.statusCode, reasons };
  } catch (thrown) {
    throw cliError('cli.not-ready', `the server does not answer at ${url}`, { cause: asError(thrown) });
  } finally {
    await dispatcher.destroy();
  }
}
