/** `postern explain`: codes and topics in plain words. */
import { lines } from '../../base/lines.ts';
import { shellWord } from '../../base/shell.ts';
import {
  allTopics,
  explain as explanationsOf,
  type Explanation,
  searchExplanations,
  suggest,
} from '../../check/explain.ts';
import { checkError } from '../../check/errors.ts';
import { catalogue, keepCatalogueAt } from '../../oauth/catalogue/catalogue.ts';
import { stepText } from '../../oauth/catalogue/diagnose.ts';
import { faults } from '../../sandbox/faults/catalogue.ts';
import { table } from '../context.ts';
import { ERROR_TABLES } from '../error-tables.ts';
import { BLAMED } from '../report.ts';
import { wrap } from '../wrap.ts';
import { Subcommand } from '../subcommand.ts';

export function explain(): Subcommand {
  return new Subcommand('explain', 'a code, a reply of a server or a topic in plain words')
    .argument('[what...]', 'AADSTS number, OAuth error, code of ours, SMTP code, reply line in quotes, or topic')
    .option('--search', 'look for the words everywhere instead')
    .example(
      'postern explain',
      'postern explain AADSTS50173',
      'postern explain "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."',
      'postern explain --search shared mailbox',
    )
    .run((context, words: readonly string[], options: { search?: boolean }) => {
      const { home, data: own } = context.config();
      keepCatalogueAt({ path: home.catalogue, publishers: own.publishers });
      const data = { catalogue: catalogue(), tables: ERROR_TABLES, faults };
      const query = words.join(' ');
      if (query === '') {
        const all = allTopics(data.catalogue);
        context.result(
          all.map(({ name, title }) => ({ name, title })),
          table(
            ['TOPIC', 'WHAT IT IS ABOUT'],
            all.map(({ name, title }) => [name, title]),
          ),
        );
        context.say('codes can be explained too: postern explain AADSTS50173');
        return;
      }
      const found = options.search === true ? searchExplanations(query, data) : explanationsOf(query, data);
      if (found.length === 0) throw unknown(query, suggest(query, data), searchExplanations(query, data));
      context.result(found, options.search === true ? listed(found) : found.flatMap(linesOf));
    });
}

function unknown(query: string, near: readonly string[], found: readonly Explanation[]): Error {
  const names = near.length > 0 ? near : found.slice(0, 5).map(({ name }) => name);
  return checkError('check.unknown-topic', `there is nothing about ${JSON.stringify(query.slice(0, 200))}`, {
    detail: { suggestions: names },
    ...(names.length === 0
      ? {}
      : { hint: `did you mean ${names.map((name) => `\`postern explain ${shellWord(name)}\``).join(' or ')}?` }),
  });
}

function listed(found: readonly Explanation[]): readonly string[] {
  return table(
    ['NAME', 'WHAT IT IS ABOUT'],
    found.map(({ name, title }) => [name, title]),
  );
}

function linesOf({ name, title, text, commands, diagnosis }: Explanation): readonly string[] {
  return lines(
    title,
    `  ${name}`,
    '',
    ...text.flatMap((paragraph) => [
      ...wrap(paragraph, WIDTH),
      ...(paragraph.startsWith('- ') || /^\d{4}-/.test(paragraph) ? [] : ['']),
    ]),
    diagnosis && [
      `Who has to act: ${BLAMED[diagnosis.blame]}`,
      `Passes by itself: ${diagnosis.passesWhen === undefined ? 'no' : `yes, when ${diagnosis.passesWhen}`}`,
      'What to do:',
      ...diagnosis.remedy.map((step, index) => `  ${index + 1}. ${stepText(step)}`),
      ...(diagnosis.sources.length === 0 ? [] : [`Source: ${diagnosis.sources.join('; ')}`]),
      '',
    ],
    commands.length > 0 && ['Commands:', ...commands.map((one) => `  ${one}`), ''],
  );
}

const WIDTH = Math.min(96, process.stdout.columns ?? 80);
