/** Every room's table of codes: for `postern explain` and for docs/errors.md. */
import { accessError } from '../access/errors.ts';
import { baseError, type ErrorRow } from '../base/error.ts';
import { checkError } from '../check/errors.ts';
import { gatewayError } from '../gateway/errors.ts';
import { discoverError } from '../onboard/discover/errors.ts';
import { oauthError } from '../oauth/errors.ts';
import { importError } from '../onboard/import/errors.ts';
import { registerError } from '../onboard/register/errors.ts';
import { OUTCOMES, outboxError } from '../outbox/errors.ts';
import { protocolError } from '../protocol/errors.ts';
import { sandboxError } from '../sandbox/errors.ts';
import { apiError } from '../server/api/errors.ts';
import { serverError } from '../server/errors.ts';
import { storeError } from '../store/errors.ts';
import { upstreamError } from '../upstream/errors.ts';
import { vaultError } from '../vault/errors.ts';
import { cliError } from './errors.ts';

interface RoomErrors {
  readonly room: string;
  readonly about: string;
  readonly table: Readonly<Record<string, ErrorRow>>;
  /** False where no command ends with these. */
  readonly ends?: false;
}

const TABLES = [
  { room: 'cli', about: 'The command itself.', table: cliError.table },
  { room: 'server', about: 'Configuration, home, ports and processes.', table: serverError.table },
  {
    room: 'server/api',
    about: 'The HTTP API. Its failures come as RFC 9457 problems with these codes.',
    table: apiError.table,
  },
  { room: 'gateway', about: 'What mail programs meet.', table: gatewayError.table },
  {
    room: 'upstream',
    about: 'What mail programs meet when the provider does not let Postern in.',
    table: upstreamError.table,
  },
  {
    room: 'outbox',
    about: 'Mail that is accepted first and delivered then; templates and webhooks.',
    table: outboxError.table,
  },
  {
    room: 'outbox/outcomes',
    about: 'What became of a message that was accepted: in `outbox show`, events, webhooks and notices.',
    table: OUTCOMES,
    ends: false,
  },
  { room: 'access', about: 'App passwords and API keys.', table: accessError.table },
  { room: 'oauth', about: 'Providers, consent and tokens.', table: oauthError.table },
  { room: 'onboard/discover', about: 'Finding provider and servers.', table: discoverError.table },
  { room: 'onboard/register', about: 'Registering an application.', table: registerError.table },
  { room: 'onboard/import', about: 'Taking over another program’s accounts.', table: importError.table },
  { room: 'check', about: 'What a diagnosis finds.', table: checkError.table },
  { room: 'protocol', about: 'The wire: framing, TLS, SASL.', table: protocolError.table },
  { room: 'vault', about: 'Keys and sealed secrets.', table: vaultError.table },
  { room: 'store', about: 'The database.', table: storeError.table },
  { room: 'sandbox', about: 'The emulated tenant.', table: sandboxError.table },
  { room: 'base', about: 'Anywhere.', table: baseError.table },
] as const satisfies readonly RoomErrors[];

export const ERROR_TABLES: readonly RoomErrors[] = TABLES;

/** Every code there is. It grows with the tables; a code never changes what it means. */
export type ErrorCode = CodeOf<(typeof TABLES)[number]['table']>;

type CodeOf<Table> = Table extends unknown ? keyof Table & string : never;
