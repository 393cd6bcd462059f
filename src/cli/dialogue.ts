/**
 * Questions with an explanation and a default. On a terminal they are asked; elsewhere, and with --yes, the default is the
 * answer, and where there is none the option that would have said it is named.
 */
import type * as Clack from '@clack/prompts';
import type { Secret } from '../base/secret.ts';
import { readSecret } from './ask.ts';
import { cliError } from './errors.ts';
import { wrap } from './wrap.ts';

export interface Question {
  readonly question: string;
  /** Why it is asked, and what the answers mean. */
  readonly explanation: string;
  /** The option that answers it, for `--help` and for scripts. */
  readonly option: string;
}

export interface Choice<T extends string> {
  readonly value: T;
  readonly label: string;
  readonly hint?: string;
}

export interface Dialogue {
  readonly interactive: boolean;
  /** One line; `usual` when nothing is typed. @throws cli.needs-terminal without a default, cli.usage when cancelled */
  text(question: Question, usual: string | undefined, check?: (text: string) => string | undefined): Promise<string>;
  choose<T extends string>(question: Question, choices: readonly Choice<T>[], usual: T): Promise<T>;
  /** At least one of several. */
  select<T extends string>(
    question: Question,
    choices: readonly Choice<T>[],
    usual: readonly T[],
  ): Promise<readonly T[]>;
  secret(question: Question): Promise<Secret>;
}

export function openDialogue(interactive: boolean): Dialogue {
  return interactive ? new Terminal() : new Defaults();
}

/** Nobody is asked. */
class Defaults implements Dialogue {
  readonly interactive = false;

  text(question: Question, usual: string | undefined): Promise<string> {
    return usual === undefined ? Promise.reject(missing(question)) : Promise.resolve(usual);
  }

  choose<T extends string>(_question: Question, _choices: readonly Choice<T>[], usual: T): Promise<T> {
    return Promise.resolve(usual);
  }

  select<T extends string>(
    _question: Question,
    _choices: readonly Choice<T>[],
    usual: readonly T[],
  ): Promise<readonly T[]> {
    return Promise.resolve(usual);
  }

  secret(question: Question): Promise<Secret> {
    return Promise.reject(missing(question));
  }
}

const missing = ({ question, option }: Question): Error =>
  cliError('cli.needs-terminal', `unanswered: ${question}`, {
    hint: `answer it with ${option}, or run this in a terminal`,
  });

/** Asks on standard error, so that standard output holds the result only. */
class Terminal implements Dialogue {
  readonly interactive = true;

  async text(
    question: Question,
    usual: string | undefined,
    check?: (text: string) => string | undefined,
  ): Promise<string> {
    const { text } = await prompts(question);
    return answered<string>(
      text({
        message: question.question,
        ...(usual === undefined ? {} : { placeholder: usual, defaultValue: usual }),
        validate: (value) => {
          const given = value === undefined || value === '' ? usual : value;
          return given === undefined ? 'an answer is needed' : check?.(given);
        },
        output: process.stderr,
      }),
    );
  }

  async choose<T extends string>(question: Question, choices: readonly Choice<T>[], usual: T): Promise<T> {
    const { select } = await prompts(question);
    const options = choices.map((choice) => ({ ...choice }));
    const answer = await answered<string>(
      select<string>({ message: question.question, options, initialValue: usual, output: process.stderr }),
    );
    return choices.find(({ value }) => value === answer)!.value;
  }

  async select<T extends string>(
    question: Question,
    choices: readonly Choice<T>[],
    usual: readonly T[],
  ): Promise<readonly T[]> {
    const { multiselect } = await prompts(question);
    const options = choices.map((choice) => ({ ...choice }));
    const answers = await answered<readonly string[]>(
      multiselect<string>({
        message: `${question.question} (space marks, enter goes on)`,
        options,
        initialValues: [...usual],
        required: true,
        output: process.stderr,
      }),
    );
    return choices.flatMap(({ value }) => (answers.includes(value) ? [value] : []));
  }

  async secret(question: Question): Promise<Secret> {
    await prompts(question);
    return readSecret(undefined, question.question);
  }
}

type Prompts = typeof Clack;

/** Loaded when something is asked; says the explanation first. */
async function prompts({ explanation, option }: Question): Promise<Prompts> {
  const library = await import('@clack/prompts');
  // The library breaks at the edge of the terminal, in the middle of words: its own frame takes four columns.
  const lines = wrap(explanation, (process.stderr.columns ?? 80) - 4);
  library.log.message([...lines, `(${option})`], { output: process.stderr });
  return library;
}

/** An answer, unless the person pressed Ctrl-C or Escape. */
async function answered<T>(asking: Promise<T | symbol>): Promise<T> {
  const { isCancel } = await import('@clack/prompts');
  const answer = await asking;
  if (!isCancel(answer)) return answer as T;
  throw cliError('cli.usage', 'stopped', { hint: 'what was set up stays; run postern init again to go on' });
}
