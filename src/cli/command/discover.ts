/** `postern discover`: provider and servers of a mail address. */
import { registerCommand } from '../../onboard/register/command.ts';
import type { Candidate, Discovery } from '../../onboard/discover/types.ts';
import { cliError } from '../errors.ts';
import { discoverAddress } from '../find-provider.ts';
import { Subcommand } from '../subcommand.ts';

interface DiscoverOptions {
  readonly ispdb?: string | true;
  readonly ca?: string;
}

export function discover(): Subcommand {
  return new Subcommand('discover', 'find the provider and the mail servers of an address')
    .argument('<address>')
    .option(
      '--ispdb [url]',
      'also ask a database of autoconfig files, Mozilla’s unless another is named; it hears the domain, not the address',
    )
    .option('--ca <file>', 'PEM CA to trust for https besides the system’s')
    .remark(`A list of known domains answers first, without network. Otherwise asked are, all at once: the domain’s own autoconfig file (https
only: autoconfig.DOMAIN, which hears the address, and DOMAIN/.well-known), its SRV records, its MX records and
autodiscover.DOMAIN. Nobody else.
The exit code is 69 when nothing was found.`)
    .example('postern discover alice@example.com')
    .run(async (context, address: string, options: DiscoverOptions) => {
      const found = await discoverAddress(address, options);
      context.result(found, lines(found));
      const [best] = found.candidates;
      if (best?.appPassword !== undefined)
        context.say(
          `${best.name} takes no OAuth tokens from mail programs: make an app password there (${best.appPassword}) and give it to the mail program itself; Postern is not needed`,
        );
      else if (best)
        context.say(`next: ${registerCommand(best.preset, { tenant: found.domain, issuer: best.issuer })}`);
      else throw cliError('cli.nothing-found', `nothing is known about ${found.domain}`);
    });
}

const SIGN_IN: Readonly<Record<Candidate['signIn'], string>> = {
  oauth2: 'OAuth 2.0',
  password: 'password only',
  unstated: 'not stated',
};

function lines({ candidates, attempts }: Discovery): readonly string[] {
  return [
    ...candidates.flatMap((one, index) => [
      `${index === 0 ? '' : 'or '}${one.name} (preset ${one.preset}), from ${one.evidence}`,
      ...Object.entries(one.mail).map(
        ([protocol, { host, port, tls }]) => `  ${protocol.padEnd(8)} ${host}:${port} ${tls}`,
      ),
      `  sign-in  ${SIGN_IN[one.signIn]}${one.issuer === undefined ? '' : ` at ${one.issuer}`}`,
      ...(one.caution === undefined ? [] : [`  careful: ${one.caution}`]),
    ]),
    ...(candidates.length === 0 ? [] : ['']),
    'asked:',
    ...attempts.map(
      ({ where, outcome, note }) => `  ${outcome.padEnd(9)} ${where}${note === undefined ? '' : ` (${note})`}`,
    ),
  ];
}
