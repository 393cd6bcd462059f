/** Of the protocols Postern is made of, every section that the code follows is cited by a test, or it is said here why not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { citedSections, CORE } from '../scripts/rfcs.ts';

const WITHOUT_TEST: Readonly<Record<string, string>> = {
  '5321 §2.3.5': 'which name of this machine may stand in EHLO',
  '5321 §4.1.1.2–5': 'named for the commands of `postern check`',
  '5321 §4.1.3': 'how an address is written in EHLO where there is no name',
  '5321 §4.5.3.1.4': 'a bound that ours is above',
  '5321 §4.5.3.1.5': 'a bound that ours is above',
  '5321 §4.5.3.1.8': 'a bound that ours is above',
  '5321 §4.5.3.2': 'how long we wait is a number of ours',
  '5321 §6.4': 'what a fault of the sandbox violates on purpose',
  '9051 §2.1': 'the usual ports',
};

test('every section of the core protocols that code cites is cited by a test', () => {
  const core = citedSections().filter(
    ({ rfc, section, places }) => CORE.has(rfc) && section !== '' && places.length > 0,
  );
  assert.ok(core.length > 100, 'the citations were read');
  assert.deepEqual(
    core.filter(({ tests }) => tests.length === 0).map(({ rfc, section }) => `${rfc} §${section}`),
    Object.keys(WITHOUT_TEST),
  );
});
