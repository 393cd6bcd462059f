/** Whatever is advised to be typed is something the command accepts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { topics } from '../../src/check/topics.ts';
import { program } from '../../src/cli/program.ts';
import { builtIn } from '../../src/oauth/catalogue/catalogue.ts';
import type { Command } from 'commander';

/** What a person puts in the places. */
const FILLED: Readonly<Record<string, string>> = {
  address: 'alice@example.com',
  application: 'work',
  clientId: '5a4db0c5-0000-4000-8000-000000000010',
  tenant: 'example.com',
  host: 'mail.example.com',
  protocols: 'imap,smtp',
  delegate: 'bob@example.com',
};

function advised(): readonly string[] {
  const { errors, calendar } = builtIn();
  const steps = [...errors, ...calendar].flatMap(({ remedy }) => remedy.flatMap(({ run }) => run ?? []));
  return [...new Set([...steps, ...topics.flatMap(({ commands }) => commands)])].filter((text) =>
    /^(?:\w+=\S+ )*postern /.test(text),
  );
}

/** Parsed as typed; nothing is done. */
function parses(text: string): void {
  const words = text
    .replace(/^(?:\w+=\S+ )*postern /, '')
    .replace(/\{(\w+)\}/g, (_, name: string) => FILLED[name] ?? assert.fail(`nothing fills {${name}}`))
    .split(/\s+/);
  const root = program();
  const quiet = (command: Command): void => {
    command.action(() => undefined).configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
    for (const child of command.commands) quiet(child);
  };
  for (const child of root.commands) quiet(child);
  try {
    root.parse(words, { from: 'user' });
  } catch (error) {
    if ((error as { code?: string }).code !== 'commander.helpDisplayed') throw error;
  }
}

test('N3: every command that the catalogue and the topics advise is one that is accepted', () => {
  const texts = advised();
  assert.ok(texts.length > 30, 'they were found');
  const refused = texts.flatMap((text) => {
    try {
      parses(text);
      return [];
    } catch (error) {
      return [`${text}: ${(error as Error).message}`];
    }
  });
  assert.deepEqual(refused, []);
});
