/** `postern token`: an access token for a program that speaks OAuth itself. */
import { Option } from 'commander';
import { encodeResponse } from '../../protocol/sasl/line.ts';
import { oauthbearerClient } from '../../protocol/sasl/oauthbearer.ts';
import { xoauth2Client } from '../../protocol/sasl/xoauth2.ts';
import { findOpened } from '../../admin/find.ts';
import { type Protocol, PROTOCOLS } from '../../store/protocols.ts';
import { Subcommand } from '../subcommand.ts';

interface TokenOptions {
  readonly protocol: Protocol;
  readonly format: 'raw' | 'xoauth2' | 'oauthbearer' | 'json';
}

export function token(): Subcommand {
  return new Subcommand(
    'token',
    'print a valid access token, renewed if need be (anyone who sees it can use it for about an hour)',
  )
    .argument('<address>')
    .addOption(new Option('--protocol <protocol>', 'what it is for').choices(PROTOCOLS).default('imap'))
    .addOption(
      new Option('--format <format>', 'raw token, SASL string in base64, or JSON')
        .choices(['raw', 'xoauth2', 'oauthbearer', 'json'])
        .default('raw'),
    )
    .addHelpText(
      'after',
      '\nExample (mutt):\n  set imap_oauth_refresh_command = "postern token alice@example.com --protocol imap"\n',
    )
    .runWithInstance(async (context, instance, address: string, options: TokenOptions) => {
      const mailbox = await findOpened(instance, address);
      const { value, expiresAt, scopes } = await instance.tokens.accessToken(mailbox, options.protocol);
      const { user, host, port } = await instance.tokens.endpoint(mailbox, options.protocol);
      const json = { accessToken: value.reveal(), expiresAt: new Date(expiresAt).toISOString(), scopes, user };
      switch (context.json ? 'json' : options.format) {
        case 'raw':
          return context.result(json, [value.reveal()]);
        case 'xoauth2':
          return context.result(json, [encodeResponse(xoauth2Client({ user, token: value }).initial!)]);
        case 'oauthbearer':
          return context.result(json, [encodeResponse(oauthbearerClient({ user, token: value, host, port }).initial!)]);
        case 'json':
          return context.result(json, [JSON.stringify(json)]);
      }
    });
}
