/** `postern completion`: shell completion, made from the commands themselves. */
import { Argument, Command } from 'commander';

export function completion(): Command {
  return new Command('completion')
    .description('print a completion script for your shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      '\nExample:\n  $ postern completion bash > ~/.local/share/bash-completion/completions/postern\n',
    )
    .action((shell: 'bash' | 'zsh' | 'fish', _options: object, command: Command) => {
      process.stdout.write(SCRIPTS[shell](words(command.parent ?? command)));
    });
}

/** For each command path (`mailbox add`) what may follow: subcommands and options. */
type Words = readonly (readonly [path: string, next: readonly string[]])[];

function words(command: Command, path = ''): Words {
  const options = command.options.map((option) => option.long ?? option.short ?? '').filter((flag) => flag !== '');
  const children = command.commands.map((child) => child.name());
  const here = [path, [...children, ...options, '--help']] as const;
  return [here, ...command.commands.flatMap((child) => words(child, `${path} ${child.name()}`.trim()))];
}

const cases = (all: Words): string =>
  all.map(([path, next]) => `    '${path}') words='${next.join(' ')}' ;;`).join('\n');

const SCRIPTS: Readonly<Record<'bash' | 'zsh' | 'fish', (all: Words) => string>> = {
  bash: (all) => `_postern() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do case $word in -*) ;; *) path="\${path:+$path }$word" ;; esac; done
  case $path in
${cases(all)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _postern postern
`,
  zsh: (all) => `#compdef postern
_postern() {
  local path='' word words=''
  for word in "\${(@)words_so_far::=\${(@)words[2,CURRENT-1]}}"; do case $word in -*) ;; *) path="\${path:+$path }$word" ;; esac; done
  case $path in
${cases(all)}
  esac
  compadd -- \${=words}
}
compdef _postern postern
`,
  fish: (all) =>
    `${all
      .map(([path, next]) => {
        const condition =
          path === ''
            ? '__fish_use_subcommand'
            : `test (string join " " -- (string match -v -- "-*" (commandline -opc)[2..-1])) = "${path}"`;
        return `complete -c postern -f -n '${condition}' -a '${next.join(' ')}'`;
      })
      .join('\n')}\n`,
};
