/** `postern.yaml`: read, checked with line numbers, and joined with the environment. */
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { Secret } from '../base/secret.ts';
import { auditSchema } from './config-audit.ts';
import { otherPlaceOf, refuseClashes } from './config-doors.ts';
import { listenersSchema } from './config-listeners.ts';
import { noticesSchema } from './config-notices.ts';
import { outboxSchema } from './config-outbox.ts';
import {
  baseAddress,
  beyondLoopback,
  hostName,
  httpsAddress,
  isLoopback,
  listenAddress,
  milliseconds,
  millisecondsOrNone,
  networks,
  port,
  privateNetworks,
} from './config-value.ts';
import { issueText, valueAt } from '../base/schema-words.ts';
import { firstLine, numberOf, readText, refuseMisspelt, secretOf, variableOf } from './environment.ts';
import { serverError } from './errors.ts';
import { type Environment, type Home, nonEmpty } from './home.ts';
import { requireAccess } from './ownership.ts';

const keys = z.strictObject({
  hostname: hostName
    .optional()
    .describe('our name in greetings and in the certificate of the local CA; default: the machine’s name'),
  listeners: listenersSchema,
  console: z
    .strictObject({
      host: listenAddress
        .default('127.0.0.1')
        .describe('where the HTTP API, /metrics, /healthz and /readyz are served'),
      port: port.default(7993).describe('0 picks a free port'),
      publicUrl: baseAddress
        .optional()
        .describe(
          'https address at which people reach the console, through a proxy; then links that restore a consent work from anywhere. Register it, with a slash at its end, as redirect URI of the application',
        ),
      tls: z
        .boolean()
        .default(false)
        .describe('speak TLS on this port, with the certificate of the gateway; needed beyond loopback'),
      trustedProxies: networks.describe(
        'proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, as addresses or networks',
      ),
      insecurePublic: z
        .boolean()
        .default(false)
        .describe(
          'allow a host other than loopback in plain text: for monitoring only, since metrics name no mailbox; API keys are refused there',
        ),
    })
    .refine(({ host, insecurePublic, tls }) => tls || insecurePublic || isLoopback(host), {
      path: ['host'],
      message:
        'API keys must not travel in plain text, so without TLS the console stays on loopback; set console.tls: true, put a proxy in front, or set console.insecurePublic: true for monitoring only',
    })
    .meta(
      beyondLoopback(
        {},
        {
          anyOf: ['tls', 'insecurePublic'].map((key) => ({ properties: { [key]: { const: true } }, required: [key] })),
        },
      ),
    )
    .prefault({})
    .describe('the port of the HTTP API and of monitoring'),
  webhooks: z
    .strictObject({
      allow: privateNetworks.describe(
        'private networks that webhooks may go to, also by plain http; without it they go to public addresses by https',
      ),
    })
    .prefault({})
    .describe('who is told by HTTP what becomes of mail'),
  database: z
    .string()
    .regex(/^(?:sqlite:.|postgres(?:ql)?:\/\/.)/, 'write sqlite:/path/file.db or postgres://user@host/name')
    .optional()
    .describe('sqlite:/path/file.db or postgres://user@host/name; default: postern.db in the state folder'),
  key: z
    .discriminatedUnion('source', [
      z.strictObject({
        source: z.literal('file'),
        path: z.string().min(1).optional().describe('default: key in the state folder'),
      }),
      z.strictObject({
        source: z.literal('passphrase'),
        file: z.string().min(1).describe('file whose first line is the passphrase'),
        insecureWeakPassphrase: z.boolean().default(false).describe('take one that can be guessed for a new vault'),
      }),
      z.strictObject({ source: z.literal('environment') }),
      z.strictObject({
        source: z.literal('credential'),
        name: z.string().min(1).describe('systemd credential (LoadCredential=)'),
      }),
    ])
    .default({ source: 'file' })
    .describe('where the master key of the vault comes from'),
  tls: z
    .strictObject({
      certificate: z.string().min(1).describe('PEM chain, leaf first'),
      key: z.string().min(1).describe('PEM private key'),
      ca: z
        .string()
        .min(1)
        .optional()
        .describe('PEM certificate of your own CA, for `postern client-config`; not needed for one that systems trust'),
    })
    .optional()
    .describe('your own certificate, read again when the files change; default: one from a local CA made on first run'),
  limits: z
    .strictObject({
      maxConnections: z.int().min(1).optional().describe('open connections of one process (default 10000)'),
      maxConnectionsPerAddress: z
        .int()
        .min(1)
        .optional()
        .describe('open connections of one process from one address (default 2500)'),
      maxWaitingPerAddress: z
        .int()
        .min(1)
        .optional()
        .describe(
          'connections of one process that have not signed in, from one address for one protocol; the oldest makes room for the next (default 2000)',
        ),
      heldOctets: z
        .int()
        .min(1024 * 1024)
        .optional()
        .describe(
          'octets one process holds for all its peers beyond 4 KiB for each connection: unfinished commands, mail under way, request bodies, what waits for a program that does not read (default 67108864)',
        ),
      signInMs: milliseconds.optional().describe('time a program has to sign in (default 180000)'),
      upstreamMs: milliseconds.optional().describe('time the provider has to accept the sign-in (default 45000)'),
      idleMs: z
        .strictObject({
          imap: milliseconds.optional().describe('default 2100000'),
          pop3: milliseconds.optional().describe('default 660000'),
          smtp: milliseconds.optional().describe('default 600000'),
        })
        .optional()
        .describe('silence after sign-in before a session is closed (default 2100000, 660000, 600000)'),
      lineOctets: z.int().min(1024).optional().describe('longest line before sign-in (default 16384)'),
      literalOctets: z.int().min(128).optional().describe('longest literal before sign-in (default 16384)'),
      maxFailures: z.int().min(1).optional().describe('failed sign-ins on one connection (default 5)'),
      reuseMs: millisecondsOrNone
        .optional()
        .describe(
          'time an IMAP session at the provider is kept for the next program of its mailbox after LOGOUT; 0: not at all (default 90000)',
        ),
      drainMs: millisecondsOrNone.optional().describe('time open sessions get at an orderly stop (default 30000)'),
    })
    .prefault({})
    .describe('bounds of the gateway'),
  audit: auditSchema,
  outbox: outboxSchema,
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('least level that is written'),
      format: z
        .enum(['auto', 'json', 'text'])
        .default('auto')
        .describe('auto: text on a terminal, JSON lines elsewhere'),
    })
    .prefault({})
    .describe('what is written to standard error'),
  data: z
    .strictObject({
      url: httpsAddress.optional().describe('where `postern update-data` looks for a newer edition when none is named'),
      publishers: z
        .array(z.string().regex(/^[A-Za-z0-9+/]{59}=$/, 'an Ed25519 public key as base64 of its SubjectPublicKeyInfo'))
        .default([])
        .describe('public keys whose signed editions count besides the project’s own'),
    })
    .prefault({})
    .describe('the catalogue of errors and provider changes'),
  renewal: z
    .strictObject({
      concurrency: z
        .int()
        .min(1)
        .max(100)
        .default(8)
        .describe('token requests under way at once to one authorization server'),
      rate: z.number().min(0.1).max(1000).default(25).describe('token requests a second to one authorization server'),
    })
    .prefault({})
    .describe('bounds of renewing grants ahead of their end, for each process that does it'),
  notices: noticesSchema,
  workers: z.int().min(1).max(64).default(1).describe('processes that share the listening ports'),
});

/** The schema of postern.yaml; every key has a default. Published as docs/postern.schema.json. */
export const configSchema = keys.superRefine(refuseClashes);

type FileConfig = z.infer<typeof configSchema>;

export type KeyConfig =
  | { readonly source: 'file'; readonly path: string }
  | { readonly source: 'passphrase'; readonly passphrase: Secret; readonly insecureWeak?: boolean }
  | { readonly source: 'environment'; readonly value: Secret }
  | { readonly source: 'credential'; readonly name: string };

export interface Config extends Omit<FileConfig, 'database' | 'key'> {
  readonly home: Home;
  /** May hold a database password. */
  readonly database: Secret;
  /** The variable that named the database instead of postern.yaml. */
  readonly databaseVariable?: string | undefined;
  readonly key: KeyConfig;
}

/**
 * Reads the configuration of a home. A missing file is the default one.
 * @throws server.config, naming file, line, what is wrong and what to do; server.not-yours
 */
export function readConfig(home: Home, env: Environment): Config {
  requireAccess(home);
  refuseMisspelt(env);
  const exists = existsSync(home.config);
  if (!exists && nonEmpty(env['POSTERN_CONFIG']) !== undefined)
    throw serverError('server.config', `POSTERN_CONFIG names ${home.config}, and there is no such file`, {
      hint: `correct or unset POSTERN_CONFIG; or write the file there: postern init`,
    });
  const file = parseConfig(exists ? readText(home.config) : '', home.config);
  const text = (name: string): string | undefined => secretOf(env, name)?.reveal();
  const overridden = check(configSchema, {
    ...file,
    ...pick('hostname', text('POSTERN_HOSTNAME')),
    ...pick('workers', numberOf(text('POSTERN_WORKERS'), 'POSTERN_WORKERS')),
    log: { ...file.log, ...pick('level', text('POSTERN_LOG_LEVEL')), ...pick('format', text('POSTERN_LOG_FORMAT')) },
  });
  return {
    ...overridden,
    home,
    database: new Secret(secretOf(env, 'POSTERN_DATABASE_URL')?.reveal() ?? file.database ?? `sqlite:${home.database}`),
    databaseVariable: variableOf(env, 'POSTERN_DATABASE_URL'),
    key: keyOf(file, home, env),
  };
}

/** Checks the text of a postern.yaml. @throws server.config */
export function parseConfig(text: string, path: string): FileConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const broken = document.errors[0];
  if (broken) {
    throw serverError('server.config', `${path} line ${lines.linePos(broken.pos[0]).line}: ${broken.message}`, {
      hint: 'the file is not valid YAML: check indentation, colons and quotes',
    });
  }
  const value = withoutEmptyGroups(document.toJS() ?? {});
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const where = [...issue.path, ...(unknown === undefined ? [] : [unknown])] as (string | number)[];
  const line = lineOf(document, lines, where);
  const words = issueText(issue, valueAt(value, issue.path), unknown === undefined ? [] : keysAt(issue.path));
  const name = where.length === 0 ? 'the file' : where.join('.');
  const other = otherPlaceOf(issue);
  const otherLine = other === undefined ? undefined : lineOf(document, lines, [...other]);
  const beside = otherLine === undefined ? '' : ` (the other one is in line ${otherLine})`;
  const what = unknown === undefined ? `${name}: ${words}${beside}` : `there is no key called ${name}; ${words}`;
  throw serverError('server.config', `${path}${line === undefined ? '' : ` line ${line}`}: ${what}`, {
    detail: { path: where.join('.'), line },
  });
}

/** A group whose keys are all commented out is null in YAML, and means as much as no group. A list is told: an empty one may open doors. */
function withoutEmptyGroups(value: unknown): unknown {
  for (const issue of configSchema.safeParse(value).error?.issues ?? []) {
    const name = issue.path.at(-1);
    const group = valueAt(value, issue.path.slice(0, -1));
    const isEmpty = issue.code === 'invalid_type' && issue.expected === 'object' && valueAt(value, issue.path) === null;
    if (isEmpty && typeof name === 'string') Reflect.deleteProperty(group as object, name);
  }
  return value;
}

function lineOf(
  document: ReturnType<typeof parseDocument>,
  lines: LineCounter,
  path: (string | number)[],
): number | undefined {
  // The key itself may be missing: then its nearest parent's line is told.
  for (let depth = path.length; depth > 0; depth--) {
    const parent: unknown = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    const name = path[depth - 1];
    const pair = isMap(parent) ? parent.items.find(({ key }) => isScalar(key) && key.value === name) : undefined;
    const node: unknown = pair?.key ?? document.getIn(path.slice(0, depth), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}

/** Names of the keys that may stand in the group at a path, from the published schema. */
function keysAt(path: readonly PropertyKey[]): readonly string[] {
  let schema: JsonSchema | undefined = z.toJSONSchema(configSchema, {
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema;
  for (const key of path) schema = typeof key === 'number' ? schema?.items : schema?.properties?.[String(key)];
  return Object.keys(schema?.properties ?? {});
}

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
}

function check(schema: typeof configSchema, value: unknown): FileConfig {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const words = issueText(issue, valueAt(value, issue.path));
  throw serverError('server.config', `the environment sets ${issue.path.join('.')} wrongly: ${words}`, {
    hint: `correct or unset POSTERN_${issue.path.join('_').toUpperCase()}`,
  });
}

function keyOf(file: FileConfig, home: Home, env: Environment): KeyConfig {
  const value = secretOf(env, 'POSTERN_MASTER_KEY');
  if (value) return { source: 'environment', value };
  const passphrase = secretOf(env, 'POSTERN_PASSPHRASE');
  const insecureWeak = file.key?.source === 'passphrase' && file.key.insecureWeakPassphrase;
  if (passphrase) return { source: 'passphrase', passphrase, insecureWeak };
  const { key } = file;
  switch (key.source) {
    case 'file':
      return { source: 'file', path: below(home, key.path) ?? home.key };
    case 'passphrase':
      return { source: 'passphrase', passphrase: firstLine(below(home, key.file)!), insecureWeak };
    case 'credential':
      return { source: 'credential', name: key.name };
    case 'environment':
      throw serverError(
        'server.config',
        'the master key is to come from the environment, but POSTERN_MASTER_KEY is not set',
        {
          hint: 'set POSTERN_MASTER_KEY, or POSTERN_MASTER_KEY_FILE to a file with it',
        },
      );
  }
}

const below = (home: Home, path: string | undefined): string | undefined =>
  path === undefined || isAbsolute(path) ? path : join(home.state, path);

function pick<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>);
}
