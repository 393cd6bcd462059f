/** The settings of an application, from options. */
import type { Command } from 'commander';
import { readText } from './ask.ts';
import { cliError } from './errors.ts';
import { mailServer } from './value.ts';

export interface SettingsOptions {
  readonly authority?: string;
  readonly issuer?: string;
  readonly ca?: string;
  readonly imap?: ReturnType<typeof mailServer>;
  readonly pop3?: ReturnType<typeof mailServer>;
  readonly smtp?: ReturnType<typeof mailServer>;
  readonly settings?: string;
}

/** The options that {@link settingsOf} reads, besides `--issuer` and `--authority`. */
export function addSettingsOptions<C extends Command>(command: C): C {
  return command
    .option('--ca <file>', 'PEM CA to trust for the authority and the mail servers')
    .option('--imap <server>', 'IMAP server: HOST:PORT/implicit or HOST:PORT/starttls', mailServer)
    .option('--pop3 <server>', 'POP3 server, likewise', mailServer)
    .option('--smtp <server>', 'SMTP server, likewise', mailServer)
    .option('--settings <file>', 'more settings as JSON (scopes, mechanisms, resource, fingerprints)');
}

/** `Application.settings` as the options say. @throws cli.usage */
export function settingsOf(options: SettingsOptions): Record<string, unknown> {
  const ca = options.ca === undefined ? undefined : readText(options.ca, 'CA');
  const withCa = (server: ReturnType<typeof mailServer> | undefined): object | undefined =>
    server === undefined ? undefined : { ...server, ...(ca === undefined ? {} : { ca }) };
  let more: Record<string, unknown> = {};
  if (options.settings !== undefined) {
    try {
      more = JSON.parse(readText(options.settings, 'settings')) as Record<string, unknown>;
    } catch (cause) {
      throw cliError('cli.usage', `${options.settings} is not JSON`, { cause });
    }
  }
  const given = {
    authority: options.authority,
    issuer: options.issuer,
    ca,
    imap: withCa(options.imap),
    pop3: withCa(options.pop3),
    smtp: withCa(options.smtp),
  };
  return { ...more, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}
