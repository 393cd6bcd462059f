/** Completion in the shells themselves: what they offer after what was typed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { without } from '../bed/need.ts';
import { postern } from '../bed/postern.ts';
import { privateFolder } from '../bed/process.ts';

const folder = privateFolder();
const script = (shell: string): string => join(folder.path, `postern.${shell}`);

before(async () => {
  for (const shell of ['bash', 'zsh', 'fish'])
    writeFileSync(script(shell), (await postern(folder.path, ['completion', shell])).stdout);
  mkdirSync(join(folder.path, 'here'));
  writeFileSync(join(folder.path, 'here', 'key.pem'), '');
});
after(() => folder.remove());

const run = (program: string, text: string): readonly string[] =>
  execFileSync(program, [...(program === 'zsh' ? ['-f'] : []), '-c', text], {
    encoding: 'utf8',
    cwd: join(folder.path, 'here'),
    env: { ...process.env, HOME: folder.path, XDG_CONFIG_HOME: folder.path },
  })
    .split('\n')
    .map((line) => line.split('\t')[0]!.trim())
    .filter(Boolean);

/** What each shell offers after these words; the last is being typed. */
const SHELLS: Readonly<Record<string, (words: readonly string[]) => readonly string[]>> = {
  bash: (words) =>
    run(
      'bash',
      `source ${script('bash')}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _postern; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ),
  // compadd and _files as zsh's own completion would be called with: outside of its line editor they cannot run.
  zsh: (words) =>
    run(
      'zsh',
      `compdef() { : }; compadd() { shift; print -l -- "$@" }; _files() { print -l -- * }; source ${script('zsh')}; words=(${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length}; _postern`,
    ).filter((one) => one.startsWith(words.at(-1)!)),
  fish: (words) => run('fish', `source ${script('fish')}; complete -C '${words.join(' ')}'`),
};
const SKIP: Readonly<Record<string, string | false>> = { bash: false, zsh: without('zsh'), fish: without('fish') };

for (const [shell, offers] of Object.entries(SHELLS)) {
  test(
    `D6: ${shell} offers commands, options, values and files, past any argument`,
    { skip: SKIP[shell] ?? false },
    () => {
      assert.ok(offers(['postern', 'mail']).includes('mailbox'));
      assert.ok(offers(['postern', 'mailbox', 'a']).includes('add'));
      assert.ok(offers(['postern', 'mailbox', 'add', 'alice@example.com', '--pro']).includes('--protocols'));
      assert.ok(offers(['postern', 'mailbox', 'add', 'alice@example.com', '--flow', '']).includes('app-only'));
      assert.ok(offers(['postern', '--home', '/tmp', 'outbox', 'list', '--state', '']).includes('failed'));
      assert.ok(offers(['postern', 'completion', '']).includes('fish'));
      // F66
      assert.ok(offers(['postern', 'sandbox', 'fault', 'set', 'imap-']).includes('imap-throttled'));
      assert.ok(offers(['postern', 'sandbox', 'fault', 'clear', 'imap-']).includes('imap-throttled'));
      assert.ok(offers(['postern', 'application', 'add', 'x', '--client-secret-file', 'k']).includes('key.pem'));
      assert.ok(!offers(['postern', 'mailbox', 'add', 'mailbox', '--']).includes('list'), 'an argument is no command');
    },
  );
}
