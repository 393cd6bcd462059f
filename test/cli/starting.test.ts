/** How the command begins: on an old Node, as an installed package, and asked whether its server is ready. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../../src/server/config.ts';
import { homeOf } from '../../src/server/home.ts';
import { installationFingerprint } from '../../src/server/installation-mark.ts';
import { postern } from '../bed/postern.ts';
import { privateFolder } from '../bed/process.ts';

const root = resolve(import.meta.dirname, '..', '..');

test('N14: an old Node gets one line that says what is needed, and status 69', () => {
  const old = `data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.20.2'})`;
  const main = join(root, 'src', 'cli', 'main.ts');
  const { status, stderr, stdout } = spawnSync(process.execPath, ['--import', old, main, '--version'], {
    encoding: 'utf8',
  });
  assert.deepEqual([status, stdout], [69, '']);
  assert.match(stderr, /^postern: this is Node v\S+, and Postern needs Node 24\.7 or later\npostern: next: /);
  // Nothing of ours may be imported before that, or an old Node fails at its syntax first.
  const text = readFileSync(main, 'utf8');
  assert.deepEqual(text.match(/^import .*$/gm), ["import process from 'node:process';"]);
});

test('N14: the package is built before it is packed', () => {
  const { scripts, files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
    files: readonly string[];
  };
  assert.match(scripts['prepack'] ?? '', /scripts\/build\.ts$/);
  assert.ok(files.includes('dist'));
});

test('N14: the container asks for readiness with or without TLS', () => {
  assert.match(readFileSync(join(root, 'Dockerfile'), 'utf8'), /^HEALTHCHECK .*CMD \["postern", "ready"\]$/m);
});

test('postern ready: 0 when the server is ready, 75 with its reasons when not, 75 when it does not answer', async (t) => {
  const folder = privateFolder();
  let problems: readonly string[] = [];
  const server = createServer((_request, response) => {
    response.writeHead(problems.length === 0 ? 200 : 503, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ status: problems.length === 0 ? 'ready' : 'not ready', problems, warnings: [] }));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.close();
    folder.remove();
  });
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder.path, 'postern.yaml'), `console: { port: ${port} }\n`);
  assert.equal((await postern(folder.path, ['ready'])).stdout.toString(), 'ready\n');
  problems = ['the database does not answer'];
  assert.match(
    (await postern(folder.path, ['ready'], { accept: [75] })).stderr,
    /not ready: the database does not answer/,
  );
  server.close();
  server.closeAllConnections();
  assert.match((await postern(folder.path, ['ready'], { accept: [75] })).stderr, /does not answer at http:\/\/127/);
});

test('D25: ready does not take another installation, or another program, for the server of this one', async (t) => {
  const folder = privateFolder();
  const home = join(folder.path, 'home');
  let header: string | undefined;
  let text = JSON.stringify({ status: 'ready', problems: [], warnings: [] });
  const server = createServer((_request, response) => {
    response.writeHead(200, header === undefined ? {} : { 'postern-installation': header });
    response.end(text);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => {
    server.close();
    folder.remove();
  });
  const { port } = server.address() as AddressInfo;
  await postern(home, ['init', '--no-mailbox']);
  writeFileSync(join(home, 'postern.yaml'), `console: { port: ${port} }\n`);
  await postern(home, ['mailbox', 'list']); // the mark is there from the first use on
  const said = async (): Promise<string> => (await postern(home, ['ready'], { accept: [75] })).stderr;
  assert.match(await said(), /the server does not run: another program answers at/);
  header = '0123456789abcdef';
  assert.match(await said(), /the server does not run: another installation of Postern answers at/);
  header = installationFingerprint(readConfig(homeOf({}, home), {}));
  assert.equal((await postern(home, ['ready'])).stdout.toString(), 'ready\n');
  text = 'hello';
  assert.match(await said(), /does not run/);
});
