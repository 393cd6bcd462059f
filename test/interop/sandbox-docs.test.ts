/** What docs/sandbox.md shows is run as it stands: only ports, paths and the name of the package are put in. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import { COMMAND } from '../bed/postern.ts';
import { runProgram } from '../bed/process.ts';

const root = resolve(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/sandbox.md'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'postern-docs-'));
let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Code blocks of one language under a heading, or all of them. */
function blocks(language: string, heading?: string): readonly string[] {
  const text = heading === undefined ? page : (page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '');
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map((block) => block[1]!);
}

function here(code: string): string {
  const { imap } = sandbox.mail;
  return code
    .replaceAll('https://localhost:2443', new URL(sandbox.authority).origin)
    .replaceAll('http://127.0.0.1:2481/sandbox', sandbox.control)
    .replaceAll('localhost:2993', `localhost:${imap.port}`)
    .replaceAll('"localhost", 2993', `"localhost", ${imap.port}`)
    .replaceAll('ca.pem', sandbox.caPath);
}

/** Runs a script in which `postern` is the command of this checkout. */
async function shell(script: string): Promise<string> {
  const command = [process.execPath, ...COMMAND].map((word) => `'${word}'`).join(' ');
  writeFileSync(join(folder, 'postern'), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
  const file = join(folder, 'script.sh');
  // Whatever happens, nothing that was started in the background goes on.
  writeFileSync(file, `set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n${script}`);
  const { stdout } = await runProgram('bash', [file], {
    cwd: folder,
    env: {
      PATH: `${folder}:${process.env['PATH'] ?? ''}`,
      HOME: folder,
      POSTERN_HOME: join(folder, 'home'),
      POSTERN_SANDBOX: sandbox.control,
    },
    timeoutMs: 120_000,
  });
  return stdout.toString();
}

test('the shell examples: signing in, reading, faults by command and by HTTP, time', async () => {
  const ci = blocks('sh', 'In a CI job');
  const signIn = blocks('sh', 'Signing in without a browser');
  const others = blocks('sh').filter((block) => !ci.includes(block) && !signIn.includes(block));
  assert.ok(ci.length === 1 && signIn.length === 2 && others.length >= 4);
  const out = await shell(here([...signIn, ...others].join('\n')));
  assert.match(out, /"access_token":"ey/);
  assert.match(out, /From: Bob Berger/);
  assert.match(out, /smtp-auth-disabled +smtp/);
  assert.match(out, /connection-reset: at imap, for alice@contoso\.test, value 1000/);
  assert.match(out, /"fault":"refresh-token-revoked"/);
  assert.ok(sandbox.clock.ahead > 120 * 86_400_000);
});

test('the CI job', async () => {
  const out = await shell(blocks('sh', 'In a CI job').join('\n'));
  assert.match(out, /^From: Bob Berger/m);
  assert.match(out, /imap-not-connected: always/);
});

test('the Python example', async () => {
  const file = join(folder, 'example.py');
  writeFileSync(file, here(blocks('python').join('\n')));
  await runProgram('python3', [file], { cwd: folder });
});

test('the Node example', async () => {
  const file = join(folder, 'example.ts');
  const library = join(root, 'src/sandbox/index.ts');
  const code = blocks('ts')
    .join('\n')
    .replaceAll("'postern/sandbox'", `'${library}'`)
    .replace(
      '\nconst redirect',
      `\nconst authorizationUrl = \`\${sandbox.authority}/oauth2/v2.0/authorize?client_id=\${sandbox.clients.public.id}&response_type=code&scope=openid&redirect_uri=http://localhost/\`;\nconst redirect`,
    );
  writeFileSync(file, code);
  const { stdout } = await runProgram(process.execPath, ['--disable-warning=ExperimentalWarning', file]);
  assert.match(stdout.toString(), /graph-throttled graph/);
});
