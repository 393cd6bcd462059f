import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { nullLog } from '../base/log.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import { ExtensionBook } from './extension-book.ts';

const endpoint = (host: string): MailEndpoint => ({
  protocol: 'smtp',
  host,
  port: 587,
  tls: 'starttls',
  user: '',
  mechanisms: ['XOAUTH2'],
  trust: {},
});
const HOUR = 3_600_000;

function book(options: {
  probe?: (endpoint: MailEndpoint) => Promise<readonly string[]>;
  hosts?: string[];
  clock?: ManualClock;
}) {
  const { hosts } = options;
  return new ExtensionBook({
    protocol: 'smtp',
    clock: options.clock ?? new ManualClock(),
    log: nullLog,
    probe: options.probe ?? (() => Promise.reject(new Error('not to be asked'))),
    endpoints: hosts === undefined ? undefined : () => Promise.resolve(hosts.map(endpoint)),
  });
}

test('nothing is announced before anything is known, then what was learned', async () => {
  const learning = book({});
  assert.deepEqual(await learning.lines(), []);
  learning.learn({ host: 'a', port: 587 }, ['DSN', 'SIZE 10']);
  assert.deepEqual(await learning.lines(), ['DSN', 'SIZE 10']);
  learning.learn({ host: 'b', port: 587 }, ['SIZE 5']);
  assert.deepEqual(await learning.lines(), ['SIZE 5']);
});

test('endpoints in use are asked once, together', async () => {
  const asked: string[] = [];
  const asking = book({
    hosts: ['a', 'b', 'a'],
    probe: async ({ host }) => {
      asked.push(host);
      return ['DSN', `${host}-ONLY`];
    },
  });
  const [first, second] = await Promise.all([asking.lines(), asking.lines()]);
  assert.deepEqual(first, ['DSN']);
  assert.deepEqual(second, ['DSN']);
  await asking.lines();
  assert.deepEqual(asked, ['a', 'b']);
});

test('a slow provider delays EHLO by two seconds once, and its answer counts when it comes', async () => {
  const clock = new ManualClock();
  const answer = Promise.withResolvers<readonly string[]>();
  const slow = book({ hosts: ['a'], clock, probe: () => answer.promise });
  const waiting = slow.lines();
  await clock.advance(0); // until it waits
  await clock.advance(2_000);
  assert.deepEqual(await waiting, []);
  assert.deepEqual(await slow.lines(), []);
  answer.resolve(['DSN']);
  await clock.advance(0);
  assert.deepEqual(await slow.lines(), ['DSN']);
});

test('an endpoint that cannot be asked makes the answer cautious and is asked again after a minute', async () => {
  const clock = new ManualClock();
  let up = false;
  let asked = 0;
  const flaky = book({
    hosts: ['a', 'b'],
    clock,
    probe: ({ host }) => {
      if (host === 'a') return Promise.resolve(['DSN']);
      asked += 1;
      return up ? Promise.resolve(['DSN']) : Promise.reject(new Error('away'));
    },
  });
  assert.deepEqual(await flaky.lines(), []);
  assert.deepEqual(await flaky.lines(), []);
  assert.equal(asked, 1);
  up = true;
  await clock.advance(60_001);
  assert.deepEqual(await flaky.lines(), ['DSN']);
});

test('a page older than an hour still answers while it is renewed', async () => {
  const clock = new ManualClock();
  let lines = ['DSN'];
  let hang = Promise.resolve();
  const renewing = book({ hosts: ['a'], clock, probe: async () => (await hang, lines) });
  assert.deepEqual(await renewing.lines(), ['DSN']);
  const { promise, resolve } = Promise.withResolvers<void>();
  hang = promise;
  lines = ['SMTPUTF8'];
  await clock.advance(HOUR + 1);
  assert.deepEqual(await renewing.lines(), ['DSN']);
  resolve();
  await clock.advance(0);
  assert.deepEqual(await renewing.lines(), ['SMTPUTF8']);
});
