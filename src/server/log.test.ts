/** Nothing secret leaves by the log, wherever it hides. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { baseError } from '../base/error.ts';
import { Secret } from '../base/secret.ts';
import { openLog } from './log.ts';

function written(say: (log: ReturnType<typeof openLog>) => void, format: 'json' | 'text' = 'json'): string {
  const stream = new PassThrough();
  const log = openLog({ level: 'debug', format }, stream as unknown as NodeJS.WriteStream);
  say(log);
  log.flush();
  return String(stream.read() ?? '');
}

test('by value: in a message, nested, in an error, its cause and stack', () => {
  const value = 'tr0ub4dor-and-3-horses/with+chars';
  const secret = new Secret(value);
  const cause = new Error(`the server said: bad token ${value}`);
  for (const format of ['json', 'text'] as const) {
    const text = written((log) => {
      log.info({ deep: { er: { still: `x ${value} y` } }, secret }, `got ${value}`);
      log.error({ error: baseError('base.bug', `failed with ${encodeURIComponent(value)}`, { cause }) }, 'oh');
      log.child({ url: `https://x/?client_secret=${value}` }).warn({ error: new Error('outer', { cause }) }, 'child');
    }, format);
    assert.ok(text.includes('[secret]') && text.split('\n').length >= 3);
    assert.ok(!text.includes(value) && !text.includes(encodeURIComponent(value)), text);
  }
  assert.equal(secret.reveal(), value);
});

test('by key and by shape, also when nobody called it a secret', () => {
  const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl';
  const text = written((log) => {
    log.info({ password: 'hunter2hunter2', nested: { accessToken: 'plain-value-1' } }, 'x');
    log.info({ body: '{"refresh_token":"0.AAAA-long-opaque"}', header: `Bearer ${jwt}` }, jwt);
    log.info({ line: 'AUTHENTICATE XOAUTH2 dXNlcj1hbGljZUBjb250b3NvLnRlc3QBYXV0aD1CZWFyZXIgeAEB' }, 'y');
  });
  for (const bad of ['hunter2hunter2', 'plain-value-1', '0.AAAA-long-opaque', jwt, 'dXNlcj1hbGlj'])
    assert.ok(!text.includes(bad), bad);
});

test('lines are JSON with level, time, message and the facts', () => {
  const line = JSON.parse(written((log) => log.warn({ sessionId: 'ses_1' }, 'hello'))) as Record<string, unknown>;
  assert.equal(line['level'], 'warn');
  assert.equal(line['msg'], 'hello');
  assert.equal(line['sessionId'], 'ses_1');
  assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/);
});
