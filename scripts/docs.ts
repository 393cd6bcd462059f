/** `npm run docs`: the pages that are made from the code. A test holds the committed pages against {@link pages}. */
import { writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Argument, Command, Option } from 'commander';
import { acts } from '../src/admin/acts.ts';
import { AUDIT_TYPES } from '../src/audit/types.ts';
import { replyTo } from '../src/base/replies.ts';
import { ERROR_TABLES } from '../src/cli/error-tables.ts';
import { program } from '../src/cli/program.ts';
import { faults } from '../src/sandbox/index.ts';
import { apiDocument } from '../src/server/api/app.ts';
import { version } from '../src/server/version.ts';
import { configurationPage, configurationSchema } from './configuration-page.ts';
import { manPage } from './man-page.ts';
import { cell, code, MADE, page, rows } from './markdown.ts';
import { rfcPage } from './rfcs.ts';

const root = resolve(import.meta.dirname, '..');

/** Every generated page: path below the root, and text. */
export function pages(): ReadonlyMap<string, string> {
  return new Map([
    ['docs/cli.md', commandPage()],
    ['docs/postern.1', manPage(program(), version, EXIT_CODES)],
    ['docs/configuration.md', configurationPage()],
    ['docs/errors.md', errorPage()],
    ['docs/rfcs.md', rfcPage()],
    ['docs/acts.md', actPage()],
    ['docs/sandbox-faults.md', faultPage()],
    ['docs/openapi.json', `${JSON.stringify(apiDocument(version), null, 2)}\n`],
    ['docs/postern.schema.json', `${JSON.stringify(configurationSchema(), null, 2)}\n`],
  ]);
}

// The command line

const EXIT_CODES = [
  ['0', 'done'],
  ['64', 'misuse: an option, a name or the configuration is wrong'],
  ['65', 'one of our limits'],
  ['69', 'refused for good by the other side'],
  ['70', 'a defect in Postern'],
  ['75', 'passes by itself; try again later'],
  ['76', 'the other side broke its protocol'],
  ['77', 'the owner of the account has to sign in or consent'],
  ['130', 'stopped at once on a second Ctrl-C'],
] as const;

function commandPage(): string {
  const root = program();
  return page([
    '# The command',
    MADE,
    '',
    'Results go to standard output, talk and errors to standard error. With `--json` the result is one JSON value, and an error is',
    'one JSON object `{"error": {"code", "kind", "message", "hint", "detail"}}` on standard error. Options of the first table',
    'may stand anywhere.',
    '',
    ...optionTable(root.options),
    '',
    ...rows(['exit code', 'meaning'], EXIT_CODES),
    '',
    ...root.commands.flatMap((command) => section(command, 'postern')),
  ]);
}

function section(command: Command, parent: string): readonly string[] {
  const name = `${parent} ${command.name()}`;
  const children = command.commands.flatMap((child) => section(child, name));
  // A command with options of its own does something even without a subcommand.
  if (children.length > 0 && command.options.length === 0) return children;
  const usage = [name, ...command.registeredArguments.map(argumentText)].join(' ');
  return [
    `## ${code(usage)}`,
    '',
    sentence(command.description()),
    '',
    ...(command.options.length === 0 ? [] : [...optionTable(command.options), '']),
    ...helpAfter(command),
    ...children,
  ];
}

/** As `--help` has it: in angle brackets what has to be there. */
function argumentText(argument: Argument): string {
  const text = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${text}>` : `[${text}]`;
}

function optionTable(options: readonly Option[]): readonly string[] {
  return rows(
    ['option', 'what it does'],
    options.map((option) => [
      code(option.flags),
      cell(
        [
          option.description,
          option.argChoices === undefined ? '' : `one of ${option.argChoices.join(', ')}`,
          typeof option.defaultValue === 'string' || typeof option.defaultValue === 'number'
            ? `default ${option.defaultValue}`
            : '',
          option.mandatory ? 'required' : '',
        ]
          .filter((part) => part !== '')
          .join('; '),
      ),
    ]),
  );
}

/** What stands below the options in `--help`: remarks as they are, the lines of the example as a code block. */
function helpAfter(command: Command): readonly string[] {
  let text = '';
  command.configureOutput({ writeOut: (piece) => void (text += piece) }).outputHelp();
  const below = text.slice(command.helpInformation().length);
  const [remark = '', example = ''] = below.split(/^Example.*:\n/m).map((part) => part.trim());
  const typed = example.split('\n').map((line) => line.trim().replace(/^\$ /, ''));
  return [...(remark === '' ? [] : [remark, '']), ...(example === '' ? [] : ['```sh', ...typed, '```', ''])];
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

// Acts

function actPage(): string {
  return page([
    '# Acts and audit records',
    MADE,
    '',
    'Everything that is administered, whether by the command or by the HTTP API: the permission it needs and the record it leaves in',
    'the audit log. A record names who did it in `data`: `by`, and the `user`, `apiKeyId`, `appPasswordId` or `person`. Permissions an API',
    'key can have are those that `postern apikey add --help` lists; the others are for whoever may read the home of the installation.',
    '',
    '## Acts',
    '',
    ...rows(
      ['act', 'what it does', 'permission', 'record'],
      acts
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, summary, permission, audits, what }) => [
          code(name),
          cell(summary),
          code(permission),
          what !== undefined ? code(`api.changed: ${what}`) : audits === undefined ? '' : code(audits),
        ]),
    ),
    '',
    '## Audit records',
    '',
    'All types, for `postern audit show --type TYPE`.',
    '',
    ...rows(
      ['type', 'what happened'],
      Object.entries(AUDIT_TYPES).map(([type, about]) => [code(type), cell(about)]),
    ),
  ]);
}

// The errors

const KINDS = [
  ['misuse', 'you, or whoever runs Postern: an option, a name or a setting is wrong'],
  [
    'denied',
    'whoever signs in: the owner of the mailbox consents again, a program or key needs the right password or permission',
  ],
  ['refused', 'the other side said no for good; somebody has to change something there'],
  ['later', 'nobody: it passes, and programs should try again'],
  ['garbled', 'the other side broke its protocol'],
  ['limit', 'one of our bounds was reached'],
  ['bug', 'us: please report it'],
] as const;

function errorPage(): string {
  return page([
    '# Errors',
    MADE,
    '',
    'Every failure has a code that stays the same, a kind that says who has to act, and a next step; the message at the time',
    'often has a more exact one. What mail programs are told is in [errors-on-the-wire.md](errors-on-the-wire.md).',
    '',
    ...rows(
      ['kind', 'who has to act'],
      KINDS.map(([kind, who]) => [kind, who]),
    ),
    '',
    ...ERROR_TABLES.flatMap(({ room, about, table, ends }) => [
      `## ${room}`,
      '',
      about,
      '',
      ...rows(
        ['code', 'kind', 'exit', 'what to do'],
        Object.entries(table).map(([name, { kind, hint }]) => [
          code(name),
          kind,
          ends === false ? '' : String(replyTo({ code: name, kind }).exit),
          cell(hint),
        ]),
      ),
      '',
    ]),
  ]);
}

// The sandbox's faults

function faultPage(): string {
  const stages = [
    ['authority', 'The authority', 'Signing in, consent and tokens.'],
    ['imap', 'IMAP', ''],
    ['pop3', 'POP3', ''],
    ['smtp', 'SMTP submission', '`{stamp}`, `{host}` and the like in replies are filled in by the server.'],
    ['graph', 'Graph', ''],
    ['network', 'Network and TLS', 'Each can be limited to one door with `--protocol`.'],
  ] as const;
  return page([
    '# The faults of the sandbox',
    MADE,
    '',
    'How to set them is in [sandbox.md](sandbox.md). Those marked with an address are met by whoever signs in as',
    '`NAME@contoso.test` or `alice+NAME@contoso.test`, or, where mail is sent, by whoever sends to it.',
    '',
    ...stages.flatMap(([stage, title, about]) => [
      `## ${title}`,
      '',
      ...(about === '' ? [] : [about, '']),
      ...rows(
        ['fault', 'what', 'where it bites', 'what happens', 'address', 'value', 'source'],
        faults
          .filter((fault) => fault.stage === stage)
          .map((fault) => [
            code(fault.id),
            cell(fault.title),
            cell(fault.bites),
            cell(fault.does),
            fault.byAddress === false ? '' : 'yes',
            fault.value === undefined ? '' : cell(`${fault.value.means}; ${fault.value.default}`),
            cell(fault.source),
          ]),
      ),
      '',
    ]),
  ]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of pages()) writeFileSync(join(root, path), text);
  process.stderr.write(`docs: wrote ${[...pages().keys()].join(', ')} below ${dirname(join(root, 'docs'))}\n`);
}
