/** `postern ready`: whether the server of this installation is ready, for supervisors, containers and scripts. */
import { askConsole } from '../../check/answerer.ts';
import type { Config } from '../../server/config.ts';
import { installationFingerprint } from '../../server/installation-mark.ts';
import { cliError } from '../errors.ts';
import { Subcommand } from '../subcommand.ts';

export function ready(): Subcommand {
  return new Subcommand('ready', 'ask the running server whether it is ready: what /readyz says, with or without TLS')
    .remark('The exit code is 0 when it is ready, 75 when it is not or does not answer.')
    .example('postern ready')
    .run(async (context) => {
      const { status, reasons } = await askReadiness(context.config());
      if (status !== 200)
        throw cliError('cli.not-ready', `the server is not ready: ${reasons.join('; ') || `it answers ${status}`}`, {
          detail: { reasons },
        });
      context.result({ ready: true }, ['ready']);
    });
}

/** What this installation's own server says. @throws cli.not-ready (no answer, or somebody else's) */
export async function askReadiness(config: Config): Promise<{ status: number; reasons: readonly string[] }> {
  const { host, port, tls } = config.console;
  const answer = await askConsole({ host, port, tls, installation: installationFingerprint(config) });
  if (answer.type === 'ours') return { status: answer.status, reasons: answer.problems };
  if (answer.type === 'other')
    throw cliError('cli.not-ready', `the server does not run: ${answer.who} answers at ${answer.url}`, {
      hint: `see who holds the port: ss -ltnp 'sport = :${port}'; then stop it, or set console.port in postern.yaml to another one`,
      detail: { reasons: [], answeredBy: answer.who },
    });
  throw cliError('cli.not-ready', `the server does not answer at ${answer.url}`, { cause: answer.error });
}
