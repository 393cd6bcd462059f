import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { isError } from '../base/error.ts';
import { certificateFiles } from './certificate.ts';
import { GivenCertificate, readCertificate } from './certificate-in-use.ts';
import { type Config, readConfig } from './config.ts';
import { homeOf } from './home.ts';
import { startConsole } from './http.ts';
import { readOwnMetrics } from './own-metrics.ts';

function configIn(t: TestContext): Config {
  const folder = mkdtempSync(join(tmpdir(), 'postern-metrics-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return readConfig(homeOf({ HOME: folder }, folder), {});
}

const pages = { metrics: () => Promise.resolve('postern_up 1\n'), ready: () => Promise.resolve([]) };
const refused = (words: RegExp) => (error: unknown) => isError(error, 'server.no-metrics') && words.test(error.message);

test('in plain text, and where the console listens on every address', async (t) => {
  const config = configIn(t);
  const console = await startConsole({ host: '127.0.0.1', port: 0, ...pages });
  t.after(() => console.close());
  for (const host of ['127.0.0.1', '0.0.0.0'])
    assert.equal(
      await readOwnMetrics({ ...config, console: { ...config.console, host, port: console.port } }),
      'postern_up 1\n',
    );
});

test('with console.tls: from the holder of this installation’s certificate, and from nobody else', async (t) => {
  const config = configIn(t);
  const files = await certificateFiles(config, systemClock);
  const console = await startConsole({
    host: '127.0.0.1',
    port: 0,
    tls: new GivenCertificate(readCertificate(files)),
    ...pages,
  });
  t.after(() => console.close());
  const at = { ...config.console, tls: true, port: console.port };
  assert.equal(await readOwnMetrics({ ...config, console: at }), 'postern_up 1\n');
  // As with a certificate of the operator's for another name.
  const own = { certificate: files.cert, key: files.key };
  assert.equal(await readOwnMetrics({ ...config, tls: own, console: at }), 'postern_up 1\n');

  const other = configIn(t);
  await assert.rejects(readOwnMetrics({ ...other, console: at }), refused(/there is no certificate/));
  await certificateFiles(other, systemClock);
  await assert.rejects(readOwnMetrics({ ...other, console: at }), refused(/self.signed|verify|issuer/i));
});

test('nobody there, a free port, and a refusal are said', async (t) => {
  const config = configIn(t);
  const console = await startConsole({
    host: '127.0.0.1',
    port: 0,
    ...pages,
    metrics: () => Promise.reject(new Error('worker gone')),
  });
  t.after(() => console.close());
  const at = { ...config.console, port: console.port };
  await assert.rejects(readOwnMetrics({ ...config, console: at }), refused(/answered 500: .*its log says why/));
  await console.close();
  await assert.rejects(readOwnMetrics({ ...config, console: at }), refused(/ECONNREFUSED/));
  await assert.rejects(readOwnMetrics({ ...config, console: { ...at, port: 0 } }), refused(/a free port/));
});
