/** Who has to act, whether it passes, and the next command: whatever the room it went wrong in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { PosternError } from '../base/error.ts';
import { diagnose } from '../oauth/catalogue/diagnose.ts';
import { storeError } from '../store/errors.ts';
import { withFreePorts } from './command/sandbox.ts';
import { ERROR_TABLES } from './error-tables.ts';
import { program } from './program.ts';

test('G6: what happens on this machine is never the provider’s nor the mail program’s', () => {
  for (const { table } of ERROR_TABLES)
    for (const [code, row] of Object.entries(table)) {
      if (!/^(?:store|vault|server|base|check|cli)\./.test(code)) continue;
      const { blame, passesWhen } = diagnose(new PosternError(code, row, 'it went wrong'));
      assert.equal(blame, 'operator', code);
      assert.doesNotMatch(passesWhen ?? '', /other side/, code);
    }
  assert.equal(diagnose(storeError('store.full', 'the disk is full')).passesWhen, 'there is room on the disk');
});

test('G9: a refresh token that Microsoft does not know is a matter of a new sign-in, not of a report', () => {
  const said = diagnose(
    new PosternError('oauth.needs-consent', { kind: 'denied', hint: '' }, 'refused', {
      detail: { error: 'invalid_grant', error_codes: [9002313] },
    }),
    { address: 'alice@contoso.test' },
  );
  assert.equal(said.remedy[0]?.run, 'postern mailbox reconsent alice@contoso.test');
  assert.equal(said.blame, 'user');
});

test('G14: the command for free ports is the one that was typed', () => {
  const taken = new PosternError('sandbox.port-taken', { kind: 'misuse', hint: '' }, 'port 2443 is taken');
  const hint = (args: readonly string[], script?: string): string =>
    (withFreePorts(taken, false, args, script) as PosternError).hint;
  assert.match(hint(['sandbox', '--gateway'], 'start'), /: npm start -- --port 0$/);
  assert.match(hint(['sandbox', '--gateway', '--dir', 'x'], 'start'), /: npm start -- --dir x --port 0$/);
  assert.match(hint(['sandbox', '--gateway', '--home', '/a b']), / sandbox --gateway --home '\/a b' --port 0$/);
});

test('G13: the application that an error names fills its place in the next step', () => {
  const said = diagnose(
    new PosternError('tls.untrusted', { kind: 'refused', hint: '' }, 'refused', {
      detail: { reason: 'SELF_SIGNED_CERT_IN_CHAIN', application: 'work' },
    }),
  );
  assert.match(said.remedy[0]?.run ?? '', /^postern application set work --ca FILE$/);
});

test('P70: a default is told once: in the words of an option, or by its value', () => {
  const look = (command: Command): void => {
    for (const { description, defaultValue, flags } of command.options)
      assert.ok(defaultValue === undefined || !/default/.test(description), `${command.name()} ${flags}`);
    command.commands.forEach(look);
  };
  look(program());
});
