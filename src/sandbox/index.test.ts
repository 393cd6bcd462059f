/** The sandbox as a whole: it starts, names a taken port, leaves nothing behind, and keeps no secret in its request log. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isError } from '../base/error.ts';
import { startSandbox } from './index.ts';
import { listen } from './listen.ts';

test('start and close: files are there, then gone, and the port is free again', async () => {
  const sandbox = await startSandbox();
  assert.equal(readFileSync(sandbox.caPath, 'utf8'), sandbox.caPem);
  assert.match(readFileSync(sandbox.clients.federated.assertionFile, 'utf8'), /^eyJ/);
  const port = Number(new URL(sandbox.authority).port);
  await sandbox.close();
  assert.equal(existsSync(sandbox.caPath), false);
  const again = createServer();
  assert.equal(await listen(again, port, 'this test'), port);
  again.close();
});

test('P46: a folder keeps the authority: who trusts it does so after the next start too', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-sandbox-kept-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const start = async (): Promise<string> => {
    const sandbox = await startSandbox({ dir });
    await sandbox.close();
    return sandbox.caPem;
  };
  const first = await start();
  assert.equal(await start(), first);
  assert.equal(statSync(join(dir, 'ca.key')).mode & 0o077, 0);
  writeFileSync(join(dir, 'ca.key'), 'half a key');
  const other = await start();
  assert.notEqual(other, first);
  assert.equal(readFileSync(join(dir, 'ca.pem'), 'utf8'), other);
});

test('it is ready in well under a second', async () => {
  let best = Infinity;
  for (let tries = 0; tries < 3; tries++) {
    const start = performance.now();
    const sandbox = await startSandbox();
    best = Math.min(best, performance.now() - start);
    await sandbox.close();
  }
  assert.ok(best < 1000, `${Math.round(best)} ms`);
});

test('a taken port is named with what to do, and the other listener is closed again', async () => {
  const holder = createServer();
  const metadata = await listen(holder, 0, 'this test');
  try {
    await assert.rejects(startSandbox({ ports: { metadata } }), (error) => {
      assert.ok(isError(error, 'sandbox.port-taken'));
      assert.equal(error.kind, 'misuse');
      assert.match(error.message, new RegExp(`port ${metadata} for the metadata endpoint is taken`));
      assert.match(error.hint, /--port 0/);
      return true;
    });
  } finally {
    holder.close();
  }
});

test('approve refuses foreign and broken URLs', async () => {
  const sandbox = await startSandbox();
  try {
    await assert.rejects(sandbox.approve('https://login.example/authorize'), { code: 'sandbox.no-redirect' });
    const broken = `${sandbox.authority}/oauth2/v2.0/authorize?client_id=${sandbox.clients.public.id}`;
    await assert.rejects(sandbox.approve(broken), { code: 'sandbox.no-redirect', message: /AADSTS900144/ });
    await assert.rejects(sandbox.approveDevice('NOSUCHCOD'), { code: 'sandbox.refused', message: /AADSTS70018/ });
  } finally {
    await sandbox.close();
  }
});
