/** Nothing secret leaves by the log, wherever it hides. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { baseError } from '../base/error.ts';
import { scrub, Secret } from '../base/secret.ts';
import { REFUSAL_NEXT } from '../gateway/verdict.ts';
import { openLog } from './log.ts';

function written(say: (log: ReturnType<typeof openLog>) => void, format: 'json' | 'text' = 'json'): string {
  let text = '';
  const put = (octets: Uint8Array): number => {
    text += Buffer.from(octets).toString();
    return octets.length;
  };
  const log = openLog({ level: 'debug', format }, { isTTY: false, put });
  say(log);
  log.flush();
  return text;
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

test('A52: a secret that is spelled like the name of a fact, or like an address, takes neither out of a line', () => {
  const held = ['remoteAddress', '192.0.2.124'].map((value) => new Secret(value));
  const say = (log: ReturnType<typeof openLog>): void =>
    log.warn({ remoteAddress: '192.0.2.124', reason: 'x 192.0.2.124', password: 'hunter2' }, 'sign-in refused');
  assert.match(
    written(say),
    /"remoteAddress":"192\.0\.2\.124","reason":"x \[secret\]","password":"\[secret\]","msg":"sign-in refused"\}\n$/,
  );
  const text = stripVTControlCharacters(written(say, 'text'));
  assert.match(text, /sign-in refused remoteAddress=192\.0\.2\.124 reason=x \[secret\] password=\[secret\]\n$/);
  assert.equal(held.length, 2);
});

test('A103: what to do about a refused sign-in stays whole in the finished line, as does every next step of the list of errors', () => {
  for (const hint of Object.values(REFUSAL_NEXT))
    for (const format of ['json', 'text'] as const) {
      const line = stripVTControlCharacters(
        written((log) => log.warn({ hint: `${hint} --home /srv/postern`, reason: 'x' }, 'sign-in refused'), format),
      );
      assert.ok(line.includes(hint) && !line.includes('[secret]'), line);
    }
  for (const row of readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8').split('\n'))
    assert.equal(scrub(row), row);
});

test('lines are JSON with level, time, message and the facts', () => {
  const line = JSON.parse(written((log) => log.warn({ sessionId: 'ses_1' }, 'hello'))) as Record<string, unknown>;
  assert.equal(line['level'], 'warn');
  assert.equal(line['msg'], 'hello');
  assert.equal(line['sessionId'], 'ses_1');
  assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT/);
});

/** An outlet that fails with this code while it has one, and takes so many octets at a time. */
function failing() {
  const state = { code: undefined as string | undefined, text: '', room: Infinity };
  const put = (octets: Uint8Array): number => {
    if (state.code !== undefined && state.room === 0) throw Object.assign(new Error('no'), { code: state.code });
    const taken = octets.subarray(0, state.room);
    state.room -= taken.length;
    state.text += Buffer.from(taken).toString();
    return taken.length;
  };
  return { state, outlet: { isTTY: false, put } };
}

test('K22: lines that cannot be written are counted, and one line says so when the log works again', () => {
  for (const code of ['ENOSPC', 'EPIPE', 'EIO']) {
    const { state, outlet } = failing();
    const log = openLog({ level: 'info', format: 'json' }, outlet);
    log.info({}, 'first');
    log.flush();
    Object.assign(state, { code, room: 20 });
    for (const what of ['second', 'third', 'fourth']) log.info({}, what);
    log.flush();
    log.info({}, 'fifth');
    log.flush();
    assert.equal(log.losses!().lines, 4);
    assert.match(log.losses!().why!, code === 'EPIPE' ? /gone/ : new RegExp(code));
    Object.assign(state, { code: undefined, room: Infinity });
    log.info({}, 'sixth');
    log.flush();
    const lines = state.text.trimEnd().split('\n');
    assert.equal(lines.length, 4, state.text);
    const [first, torn, notice, sixth] = lines;
    assert.equal((JSON.parse(first!) as { msg: string }).msg, 'first');
    assert.equal(torn!.length, 20);
    assert.equal((JSON.parse(notice!) as { lost: number }).lost, 4);
    assert.equal((JSON.parse(sixth!) as { msg: string }).msg, 'sixth');
    assert.deepEqual(log.losses!(), { lines: 4, why: undefined });
  }
});

test('K22: a reader that has stopped reading holds up nobody, and what it takes later is whole', () => {
  const { state, outlet } = failing();
  const log = openLog({ level: 'info', format: 'json' }, outlet);
  Object.assign(state, { code: 'EAGAIN', room: 30 });
  for (let number = 0; number < 300; number++) {
    log.info({ number }, 'x'.repeat(8000));
    if (number === 0) log.flush();
  }
  log.flush();
  assert.ok(log.losses!().lines > 0);
  Object.assign(state, { code: undefined, room: Infinity });
  log.info({}, 'last');
  log.flush();
  const lines = state.text.trimEnd().split('\n');
  for (const line of lines) assert.doesNotThrow(() => JSON.parse(line));
  const lost = lines.map((line) => (JSON.parse(line) as { lost?: number }).lost ?? 0).reduce((sum, n) => sum + n, 0);
  assert.equal(lines.filter((line) => !line.includes('"lost"')).length + lost, 301);
});
