/**
 * No regular expression of the product takes more than linear time in the length of what it looks at. What is not in
 * `expressions.json` is analysed here; `node scripts/expressions.ts` writes it down.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expressions, judge, knownLinear } from '../scripts/expressions.ts';

/** Expressions that are not linear, with the bound of what they look at. None is needed today. */
const ALLOWED: Readonly<Record<string, { readonly octets: number; readonly reason: string }>> = {};

/** Expressions made at run time, and why none of them can be made to take long. */
const COMPOSED: Readonly<Record<string, string>> = {
  "src/check/advice.ts new RegExp(affects.hosts, 'i')":
    'from the signed catalogue, whose own are judged; looks at host names',
  "src/check/bundle/streams.ts new RegExp(kinds.join('|').replaceAll('H', '[0-9a-fA-F]'), 'g')":
    'alternatives that each begin with a sign of their own and have bounded parts; redact.test.ts times texts of any kind by their length (A58)',
  "src/oauth/catalogue/diagnose.ts new RegExp(pattern, 'i')":
    'from the signed catalogue, whose own are judged; what it looks at is bounded',
  "src/oauth/catalogue/schema.ts new RegExp(text, 'i')": 'only compiled, to see whether it can be',
  "src/outbox/template/plain-text.ts new RegExp(`</${name}\\\\b`, 'gi')":
    'the name is one of five of ours; no repetition',
  "src/server/api/messages.ts new RegExp(`^(?:${STATES.join('|')})(?:,(?:${STATES.join('|')}))*$`)":
    'words of ours, anchored, a comma before each repetition',
  "src/server/api/operations.ts new RegExp(`^${path.replaceAll(/\\{\\w+\\}/g, '[^/]+').replaceAll('.', String.raw`\\.`)}$`)":
    'paths of our own operations; [^/]+ between slashes, anchored',
};

test('S1, S3, S12: no regular expression takes more than linear time', async (context) => {
  const { found } = expressions();
  assert.ok(found.length > 450, 'the sources were read');
  const known = knownLinear();
  const seen = new Set<string>();
  const wrong: string[] = [];
  for (const expression of found) {
    const { text, at } = expression;
    if (known.has(text) || seen.has(text) || text in ALLOWED) continue;
    seen.add(text);
    const { time, attack } = await judge(expression);
    if (time === 'linear') context.diagnostic(`${at}: ${text} is linear; node scripts/expressions.ts writes it down`);
    else wrong.push(`${at}: ${text} is ${time}: ${attack ?? 'rewrite it so that the analyser can judge it'}`);
  }
  assert.deepEqual(wrong, []);
  const gone = Object.keys(ALLOWED).filter((text) => !found.some((expression) => expression.text === text));
  assert.deepEqual(gone, [], 'allowed, but no longer there');
});

test('S1: every regular expression made at run time has been judged', () => {
  const made = expressions().composed.map(({ file, text }) => `${file} ${text}`);
  assert.deepEqual(made.toSorted(), Object.keys(COMPOSED).toSorted());
});

test('S1: the analyser sees what has to be seen', async () => {
  for (const [pattern, time] of [
    ['^[A-Za-z0-9+/\\s]*={0,2}\\s*$', 'polynomial 2'],
    ['\\bRETURN \\([^)]*\\b(?:SAVE|ALL)', 'polynomial 2'],
    ['^(?:a+)+$', 'exponential'],
    ['^[a-z]+$', 'linear'],
  ] as const)
    assert.equal((await judge({ pattern, flags: '' })).time, time, pattern);
});
