/** The manual page, made from the commands: `man postern` (man(7) macros). */
import type { Command, Option } from 'commander';

/** @param root the program; @param version shown in the footer */
export function manPage(root: Command, version: string, exitCodes: readonly (readonly [string, string])[]): string {
  return [
    '.\\" Made by `npm run docs`; edit the code it is made from instead.',
    `.TH POSTERN 1 "" "postern ${version}" "Postern"`,
    '.SH NAME',
    'postern \\- the gate to mailboxes that only open with OAuth 2.0',
    '.SH SYNOPSIS',
    '.B postern',
    '[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    escaped(root.description()),
    'Any IMAP, POP3 or SMTP program keeps working with a user name and an app password; Postern holds the OAuth grants, renews them',
    'and signs in with them. Results go to standard output, talk and errors to standard error.',
    '.SH OPTIONS',
    ...root.options.flatMap(optionLines),
    '.SH COMMANDS',
    ...root.commands.flatMap((command) => commandLines(command, '')),
    '.SH EXIT STATUS',
    ...exitCodes.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, escaped(meaning)]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B POSTERN_HOME',
    'folder of configuration, database and keys; \\-\\-home wins over it',
    '.TP',
    '.B POSTERN_CONFIG',
    'another place for postern.yaml',
    '.PP',
    'The others are in docs/configuration.md.',
    '.SH FILES',
    '.TP',
    '.I ~/.config/postern/postern.yaml',
    'the configuration; every key has a default',
    '.TP',
    '.I ~/.local/state/postern/',
    'database, master key and certificates',
    '.SH EXAMPLES',
    '.nf',
    'postern sandbox \\-\\-gateway     see it work, without any account',
    'postern init                  set it up',
    'postern check                 find out what is wrong',
    '.fi',
    '.SH SEE ALSO',
    'postern explain \\fItopic\\fR; postern \\fIcommand\\fR \\-\\-help',
    '',
  ].join('\n');
}

function commandLines(command: Command, parent: string): readonly string[] {
  const name = `${parent} ${command.name()}`.trim();
  if (command.commands.length > 0 && command.options.length === 0)
    return command.commands.flatMap((child) => commandLines(child, name));
  const argumentsOf = command.registeredArguments.map((one) =>
    one.required ? `\\fI${escaped(one.name())}\\fR` : `[\\fI${escaped(one.name())}\\fR]`,
  );
  return [
    `.SS "${escaped(name)}"`,
    ...(argumentsOf.length === 0 ? [] : [`.B postern ${escaped(name)} \\fR${argumentsOf.join(' ')}`, '.PP']),
    escaped(command.description()),
    ...command.options.flatMap(optionLines),
    ...command.commands.flatMap((child) => commandLines(child, name)),
  ];
}

function optionLines({ flags, description, defaultValue }: Option): readonly string[] {
  const usual = ['string', 'number'].includes(typeof defaultValue) ? ` (default: ${defaultValue})` : '';
  return ['.TP', `.B ${escaped(flags)}`, escaped(`${description}${usual}`)];
}

/** A stop or apostrophe at the start of a line is a request, a backslash an escape, and a hyphen-minus would become a hyphen. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .split('\n')
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join('\n');
}
