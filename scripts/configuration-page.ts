/** The page and the JSON Schema of postern.yaml, made from the schema that reads it. */
import { z } from 'zod';
import { configSchema } from '../src/server/config.ts';
import { cell, code, MADE, page, rows } from './markdown.ts';

type Schema = z.core.JSONSchema.JSONSchema;

export function configurationSchema(): Schema {
  const made = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' });
  return { title: 'postern.yaml', ...made, properties: withEmptyGroups(made.properties ?? {}) };
}

/** A group whose keys are all commented out is null, and taken. */
function withEmptyGroups(properties: NonNullable<Schema['properties']>): NonNullable<Schema['properties']> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, one]) => {
      if (typeof one !== 'object') return [name, one];
      if (one.oneOf) return [name, { ...one, oneOf: [...one.oneOf, { type: 'null' as const }] }];
      if (one.properties === undefined) return [name, one];
      // The vocabulary allows a list of types, and the type of it here does not.
      const type = ['object', 'null'] as unknown as 'object';
      return [name, { ...one, type, properties: withEmptyGroups(one.properties) }];
    }),
  );
}

export function configurationPage(): string {
  const schema = configurationSchema();
  return page([
    '# Configuration',
    MADE,
    '',
    'One file, `postern.yaml`. Every key has a default, so the file may be empty or missing. A mistake is told with its line and',
    'what would be right. For completion and checking in an editor, put this in its first line:',
    '`# yaml-language-server: $schema=postern.schema.json` ([postern.schema.json](postern.schema.json)).',
    '',
    '| what | with `--home` or `POSTERN_HOME` | otherwise |',
    '|---|---|---|',
    '| configuration | `HOME/postern.yaml` | `$XDG_CONFIG_HOME/postern/postern.yaml` (`~/.config/postern`) |',
    '| database, key, certificates | `HOME` | `$XDG_STATE_HOME/postern` (`~/.local/state/postern`) |',
    '| compiled code, for faster starts | the same as otherwise | `$XDG_CACHE_HOME/postern` (`~/.cache/postern`); of a service `$CACHE_DIRECTORY` |',
    '',
    'Commands that Postern prints repeat `--home` when it was given, and those in the log of `serve` name its home when it is not the usual one.',
    'What goes over the wire names none: replies to mail programs, answers of the HTTP API, webhooks and reports. Whoever reads them may be elsewhere, where',
    'a path of this machine is of no use and none of their business; where such a command is typed, add `--home` or set `POSTERN_HOME`.',
    '',
    '## Keys',
    '',
    ...rows(['key', 'what it is', 'values', 'default'], keys(schema, '')),
    '',
    '## Environment',
    '',
    'The environment wins over the file. A name with `_FILE` gives a file whose first line is the value, as container platforms do.',
    '',
    ...rows(
      ['variable', 'what it is'],
      [
        ['`POSTERN_HOME`', 'folder of everything; `--home` wins over it'],
        ['`POSTERN_CONFIG`', 'another place for postern.yaml'],
        ['`POSTERN_DATABASE_URL`, `POSTERN_DATABASE_URL_FILE`', '`database`'],
        [
          '`POSTERN_MASTER_KEY`, `POSTERN_MASTER_KEY_FILE`',
          'the master key, 32 octets in base64: `openssl rand -base64 32`',
        ],
        ['`POSTERN_PASSPHRASE`, `POSTERN_PASSPHRASE_FILE`', 'a passphrase from which the master key is derived'],
        ['`POSTERN_HOSTNAME`, `POSTERN_HOSTNAME_FILE`', '`hostname`'],
        ['`POSTERN_WORKERS`, `POSTERN_WORKERS_FILE`', '`workers`'],
        ['`POSTERN_LOG_LEVEL`, `POSTERN_LOG_LEVEL_FILE`', '`log.level`'],
        ['`POSTERN_LOG_FORMAT`, `POSTERN_LOG_FORMAT_FILE`', '`log.format`'],
        ['`POSTERN_NO_BROWSER`', 'set: print sign-in addresses only, open no browser'],
        [
          '`POSTERN_SANDBOX`',
          'address of the sandbox’s control, for `postern sandbox fault` and the like; default: the one it starts with',
        ],
      ],
    ),
    '',
    '## Example: for the whole network, with certificates of your own',
    '',
    '```yaml',
    'hostname: mail.example.com',
    'listeners:',
    '  - { protocol: imap, tls: implicit, host: 0.0.0.0, port: 993 }',
    '  - { protocol: smtp, tls: implicit, host: 0.0.0.0, port: 465 }',
    '  - { protocol: smtp, tls: starttls, host: 0.0.0.0, port: 587 }',
    'tls: { certificate: /etc/postern/fullchain.pem, key: /etc/postern/privkey.pem }',
    'workers: 2',
    '```',
  ]);
}

/** A schema that is no `true` or `false`, nor a list of them: as those of postern.yaml are. */
const only = (schema: Schema['items']): readonly Schema[] =>
  typeof schema !== 'object' || Array.isArray(schema) ? [] : [schema];

function keys(schema: Schema, path: string): readonly (readonly string[])[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    only(property).flatMap((value) => {
      const here = path === '' ? name : `${path}.${name}`;
      const nested = [
        ...[value, ...(value.oneOf ?? value.anyOf ?? [])].flatMap((part) => keys(part, here)),
        ...only(value.items).flatMap((part) => keys(part, `${here}[]`)),
      ];
      const row = [code(here), cell(value.description ?? ''), values(value), defaultOf(value)];
      const forms = (value.oneOf ?? []).flatMap((form) =>
        only(form.properties?.['source']).map(({ const: one }) => one),
      );
      const source = [
        code(`${here}.source`),
        'which of the forms',
        forms.map((one) => code(String(one))).join(', '),
        '',
      ];
      return [row, ...(forms.length > 0 ? [source] : []), ...nested.filter(([key]) => key !== source[0])];
    }),
  );
}

function values(schema: Schema): string {
  if (schema.const !== undefined) return code(String(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  const most = schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER ? schema.maximum : undefined;
  if (schema.minimum !== undefined)
    return most === undefined ? `${schema.minimum} or more` : `${schema.minimum} to ${most}`;
  if (schema.type === 'array') return 'list';
  if (schema.oneOf ?? schema.anyOf) return 'one of the forms below';
  return schema.properties ? '' : String(schema.type ?? '');
}

function defaultOf(schema: Schema): string {
  const value = schema.default;
  if (value === undefined) return '';
  if (Array.isArray(value))
    return value.length === 0 ? 'none' : typeof value[0] === 'object' ? 'see its description' : code(value.join(', '));
  if (typeof value === 'object')
    return value === null || Object.keys(value).length === 0 ? '' : code(JSON.stringify(value));
  return code(JSON.stringify(value).replaceAll('"', ''));
}
