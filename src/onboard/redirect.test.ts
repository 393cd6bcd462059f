import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { ManualClock } from '../../test/bed/manual-clock.ts';
import { listenForRedirect } from './loopback.ts';
import { pasteBack, readPasted } from './paste-back.ts';

describe('loopback redirect', () => {
  // RFC 6749 §4.1.2, RFC 8252 §7.3
  test('only the answer with our state ends the wait, and it is told so', async () => {
    const redirect = await listenForRedirect({ open: () => undefined });
    const waiting = redirect.wait(`https://login.example/authorize?state=ours`);
    const get = (path: string, init?: RequestInit) => fetch(new URL(path, redirect.uri), init);
    assert.equal((await get('/favicon.ico')).status, 404);
    assert.equal((await get('/')).status, 400);
    assert.equal((await get('/?code=c&state=theirs')).status, 400);
    assert.equal((await get('/?code=c&state=ours&state=theirs')).status, 400);
    assert.equal((await get('/?code=c&state=ours', { method: 'POST' })).status, 405);
    const good = await get('/?code=c&state=ours');
    assert.equal(good.status, 200);
    assert.match(await good.text(), /Thank you/);
    assert.equal((await waiting).searchParams.get('code'), 'c');
    assert.equal((await get('/?code=c2&state=ours')).status, 400);
    await redirect.close();
  });

  test('a page that rebinds its name to this machine is turned away', async () => {
    const redirect = await listenForRedirect({ open: () => undefined });
    const stop = new AbortController();
    const waiting = assert.rejects(redirect.wait('https://login.example/?state=s', stop.signal), /stop/);
    const status = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(redirect.uri).port), '127.0.0.1', () =>
        socket.write('GET /?code=c&state=s HTTP/1.1\r\nHost: evil.example\r\n\r\n'),
      );
      socket.once('data', (data) => resolve(data.toString().slice(0, 12))).once('error', reject);
    });
    assert.equal(status, 'HTTP/1.1 421');
    stop.abort(new Error('stop'));
    await waiting;
    await redirect.close();
  });

  test('nobody comes: the wait ends by the clock', async () => {
    const clock = new ManualClock();
    const redirect = await listenForRedirect({ open: () => undefined, clock, timeoutMs: 1000 });
    const outcome = assert.rejects(redirect.wait('https://login.example/?state=s'), { code: 'oauth.consent-expired' });
    await clock.advance(1000);
    await outcome;
    await redirect.close();
  });

  test('a port in use is said so', async () => {
    const first = await listenForRedirect({ open: () => undefined });
    const port = Number(new URL(first.uri).port);
    await assert.rejects(listenForRedirect({ port, open: () => undefined }), { code: 'oauth.port-taken' });
    await first.close();
  });
});

describe('paste-back', () => {
  const read = (text: string) => readPasted(text, 'http://localhost/', 's').searchParams.get('code');

  test('takes the address, its query, or the parameters, with stray blanks and quotes', () => {
    for (const text of [
      'http://localhost/?code=c&state=s',
      '  "http://localhost/?code=c&state=s"\n',
      '?code=c&state=s',
      'state=s&code=c',
    ]) {
      assert.equal(read(text), 'c', text);
    }
  });

  test('says what is wrong with anything else', () => {
    for (const text of [
      '',
      'c',
      'http://localhost/',
      'https://evil.example/?code=c&state=s',
      'http://localhost/?code=c',
    ]) {
      assert.throws(() => read(text), { code: 'oauth.redirect-invalid' }, text);
    }
    assert.throws(() => read('code=c&state=other'), { code: 'oauth.redirect-mismatch' });
  });

  test('N15: a wrong paste is told and asked for again; nothing pasted gives up', async () => {
    const told: string[] = [];
    const asking = (...pastes: string[]) =>
      pasteBack({
        redirectUri: 'http://localhost/',
        ask: () => Promise.resolve(pastes.shift() ?? ''),
        again: ({ code }) => told.push(code),
      }).wait('https://login.example/authorize?state=s');
    const answer = await asking('http://localhost/?code=c', 'https://elsewhere.example/', '?code=c&state=s');
    assert.equal(answer.searchParams.get('code'), 'c');
    assert.deepEqual(told, ['oauth.redirect-invalid', 'oauth.redirect-invalid']);
    await assert.rejects(asking('nonsense', ''), { code: 'oauth.redirect-invalid' });
    await assert.rejects(asking(...Array.from({ length: 9 }, () => 'wrong')), { code: 'oauth.redirect-invalid' });
  });
});
