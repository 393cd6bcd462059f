/** How this very copy of the command is called: lines that it prints are meant to be pasted. */
import { shellWord } from '../base/shell.ts';

/** What started it from a checkout says how: its path, or `postern` where that is found on the PATH. */
const STARTED_AS = process.env['POSTERN_STARTED_AS'];
export const COMMAND =
  STARTED_AS === undefined || STARTED_AS === ''
    ? 'postern'
    : STARTED_AS === 'postern'
      ? STARTED_AS
      : shellWord(STARTED_AS);

/** The name at the beginning of a command line, also after `sudo -u USER env …`, where something of ours follows. No path, and no user `postern`. */
const NAME = /(?<![\w./@-]|-u |-o )postern(?= (?:--[a-z]|[a-z][a-z-]+))/g;
/** What may follow it; anything else is a sentence about Postern. */
const FOLLOWS =
  /^postern (?:--|(?:init|serve|ready|service|discover|register|import|application|mailbox|password|client-config|outbox|suppression|sendmail|apikey|webhook|token|check|explain|update-data|support-bundle|events|notice|audit|compact|sandbox|completion|help)\b)/;

/** Text for people with its command lines in the form that works where this was started from. */
export function asStarted(text: string, command = COMMAND): string {
  if (command === 'postern') return text;
  return text.replace(NAME, (name, at: number) => (FOLLOWS.test(text.slice(at, at + 40)) ? command : name));
}
