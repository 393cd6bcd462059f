/** `postern completion`: shell completion, made from the commands themselves. */
import { API_ACTIONS } from '../../store/types-api.ts';
import { Argument, type Command, type Option } from 'commander';
import { Subcommand } from '../subcommand.ts';

export function completion(): Subcommand {
  return new Subcommand('completion', 'print a completion script for your shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples:
  $ postern completion bash > ~/.local/share/bash-completion/completions/postern
  $ postern completion zsh > ~/.zfunc/_postern          with fpath=(~/.zfunc $fpath) before compinit in ~/.zshrc
  $ postern completion fish > ~/.config/fish/completions/postern.fish
`,
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish', _options: object, command: Command) => {
      const { faults } = await import('../../sandbox/index.ts');
      const script = SCRIPTS[shell](
        describe(
          command.parent ?? command,
          faults.map(({ id }) => id),
        ),
      );
      const { json } = command.optsWithGlobals<{ json?: boolean }>();
      process.stdout.write(json === true ? `${JSON.stringify({ shell, script })}\n` : script);
    });
}

/** What can follow a command. */
interface Place {
  /** `mailbox add`; empty for `postern` itself. */
  readonly path: string;
  readonly words: readonly string[];
  /** Options that take a value, and what values there are; `file`: any path. */
  readonly values: readonly (readonly [flag: string, values: readonly string[] | 'file' | 'any'])[];
  /** Values of the first argument, where there is a list. */
  readonly argument: readonly string[] | 'file';
}

/** @param faults of the sandbox: a list that is loaded only here */
function describe(root: Command, faults: readonly string[]): readonly Place[] {
  const global = root.options;
  const walk = (command: Command, path: string): readonly Place[] => {
    const options = [...command.options, ...(path === '' ? [] : global)];
    const children = command.commands.map((child) => child.name());
    const [argument] = command.registeredArguments;
    const place: Place = {
      path,
      words: [...children, ...options.flatMap(({ long, short }) => long ?? short ?? []), '--help'],
      values: options.flatMap((option) =>
        option.required || option.optional ? [[option.long ?? option.short ?? '', valuesOf(option)] as const] : [],
      ),
      argument:
        argument?.name() === 'fault'
          ? faults
          : (argument?.argChoices ?? (argument !== undefined && FILE.test(argument.name()) ? 'file' : [])),
    };
    return [place, ...command.commands.flatMap((child) => walk(child, `${path} ${child.name()}`.trim()))];
  };
  return walk(root, '');
}

const FILE = /^(?:file|folder|path|yaml)$/i;
/** Options whose words are read by code of their own, so that the parser does not list them. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--flow': ['browser', 'paste', 'device', 'app-only'],
  '--allow': API_ACTIONS,
  '--route': ['smtp', 'graph', 'relay'],
  '--protocols': ['imap', 'pop3', 'smtp', 'imap,smtp', 'imap,pop3,smtp'],
};

function valuesOf(option: Option): readonly string[] | 'file' | 'any' {
  if (option.argChoices) return option.argChoices;
  if (FILE.test(option.flags.slice(option.flags.search(/[<[]/) + 1, -1))) return 'file';
  return VALUES[option.long ?? ''] ?? 'any';
}

const quoted = (words: readonly string[]): string => words.join(' ');
const paths = (all: readonly Place[]): string => all.flatMap(({ path }) => (path === '' ? [] : `'${path}'`)).join('|');

/**
 * bash and zsh are led the same way: the path grows by each word that names a command, so that arguments and values of options
 * do not lead astray; then the value of the option before the cursor, or what may follow the path.
 */
function cases(
  all: readonly Place[],
  shell: { readonly words: (list: string) => string; readonly files: string; readonly nothing: string },
): string {
  const answer = (values: readonly string[] | 'file' | 'any'): string =>
    values === 'file' ? shell.files : values === 'any' ? shell.nothing : shell.words(quoted(values));
  const byValue = all.flatMap(({ path, values }) =>
    values.map(([flag, list]) => `    '${`${path} ${flag}`.trim()}') ${answer(list)}; return ;;`),
  );
  const byPath = all.map(({ path, words, argument }) => {
    const list = shell.words(quoted(argument === 'file' ? words : [...argument, ...words]));
    return `    '${path}') ${argument === 'file' ? `${shell.files}; ` : ''}${list} ;;`;
  });
  return `  case "\${path:+$path }$prev" in
${byValue.join('\n')}
  esac
  case "$path" in
${byPath.join('\n')}
  esac`;
}

const SCRIPTS: Readonly<Record<'bash' | 'zsh' | 'fish', (all: readonly Place[]) => string>> = {
  bash: (all) => `_postern() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" path='' next i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${path:+$path }\${COMP_WORDS[i]}"
    case "$next" in ${paths(all)}) path="$next" ;; esac
  done
${cases(all, {
  words: (list) => `COMPREPLY+=($(compgen -W '${list}' -- "$cur"))`,
  files: 'COMPREPLY+=($(compgen -f -- "$cur"))',
  nothing: ':',
})}
}
complete -o filenames -F _postern postern
`,
  zsh: (all) => `#compdef postern
_postern() {
  local prev="\${words[CURRENT-1]}" path_='' path next i
  for ((i = 2; i < CURRENT; i++)); do
    next="\${path_:+$path_ }\${words[i]}"
    case "$next" in (${paths(all)}) path_="$next" ;; esac
  done
${cases(all, { words: (list) => `compadd -- ${list}`, files: '_files', nothing: ':' })
  .replaceAll('${path:+$path }', '${path_:+$path_ }')
  .replaceAll('"$path"', '"$path_"')}
}
if [[ "\${funcstack[1]}" == _postern ]]; then _postern "$@"; else compdef _postern postern; fi
`,
  fish: (all) => `set -g __postern_paths ${all.flatMap(({ path }) => (path === '' ? [] : `'${path}'`)).join(' ')}
function __postern_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim -- "$at $word")
    contains -- $next $__postern_paths; and set at $next
  end
  test "$at" = "$argv[1]"
end
complete -c postern -f
${all
  .flatMap(({ path, words, values, argument }) => {
    const at = `complete -c postern -n "__postern_at '${path}'"`;
    const flagged = new Set(values.map(([flag]) => flag));
    return [
      ...(argument === 'file' ? [`${at} -F`] : []),
      `${at} -a '${quoted([...(argument === 'file' ? [] : argument), ...words.filter((word) => !word.startsWith('-'))])}'`,
      ...words.flatMap((word) => (/^--[a-z]/.test(word) && !flagged.has(word) ? [`${at} -l ${word.slice(2)}`] : [])),
      ...values.flatMap(([flag, list]) => {
        if (!/^--[a-z]/.test(flag)) return [];
        const long = `${at} -l ${flag.slice(2)}`;
        return list === 'file' ? `${long} -r -F` : list === 'any' ? `${long} -x` : `${long} -x -a '${quoted(list)}'`;
      }),
    ];
  })
  .join('\n')}
`,
};
