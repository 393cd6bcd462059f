/** A device whose TLS is too old: told apart from a provider's, and told by every command that is asked. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CheckReport } from '../../src/check/types.ts';
import { startSandbox } from '../../src/sandbox/index.ts';
import { ALICE } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { postern } from '../bed/postern.ts';
import { runProgram } from '../bed/process.ts';
import { RunningServe, until } from '../bed/running-serve.ts';
import { sandboxHome } from '../bed/sandbox-home.ts';

test(
  'P81: a device that speaks old TLS has a code of its own, and explain and check say what to do about it',
  { skip: without('curl') },
  async () => {
    const sandbox = await startSandbox();
    const made = await sandboxHome(sandbox);
    const config = join(made.path, 'devices.yaml');
    const rule = { name: 'printers', networks: ['127.0.0.1'], mailbox: ALICE, perHour: 60 };
    writeFileSync(
      config,
      JSON.stringify({
        listeners: [{ protocol: 'imap', tls: 'none', port: 0 }],
        console: { port: 0 },
        outbox: { devices: { host: '127.0.0.1', port: 0, rules: [rule] } },
      }),
    );
    const serve = new RunningServe(made.path, config);
    try {
      await serve.ready();
      const opened = () => /"port":(\d+)[^\n]*devices may send/.exec(serve.log)?.[1];
      await until(
        'the listener for devices is open',
        () => opened() !== undefined,
        10_000,
        () => serve.log,
      );
      const port = opened()!;
      const send = (more: readonly string[], accept: number[]) =>
        runProgram(
          'curl',
          [...'-sS -k --ssl --max-time 20 -T - --mail-from'.split(' '), ALICE, '--mail-rcpt', 'bob@contoso.test']
            .concat(more)
            .concat(`smtp://127.0.0.1:${port}`),
          { accept, input: `From: ${ALICE}\r\nSubject: scan\r\n\r\npage\r\n` },
        );
      for (let times = 0; times < 3; times++) await send(['--tls-max', '1.1'], [35]);
      assert.match(serve.log, /"code":"tls\.program"/);
      const check = async () => {
        const env = { POSTERN_CONFIG: config };
        const { stdout } = await postern(made.path, ['check', '--installation', '--json'], { env, accept: [0, 64] });
        const { installation } = JSON.parse(String(stdout)) as { installation: CheckReport };
        return installation.findings.find(({ step }) => step === 'home.devices-tls')!;
      };
      let found = await check();
      await until('check tells of it', async () => (found = await check()).outcome === 'warning', 10_000);
      assert.match(found.diagnosis!.cause, /TLS 1\.1.*127\.0\.0\.1: old-version, 3 times/);
      assert.match(JSON.stringify(found.diagnosis!.remedy), /newer firmware.*outbox\.devices\.tls: plain/);
      // One that has found its way since is no longer told of.
      await send([], [0]);
      await until('the device is well', async () => (await check()).outcome === 'ok', 10_000);
      const { stdout } = await postern(made.path, ['explain', 'tls.program']);
      assert.match(String(stdout), /newer firmware/);
      assert.doesNotMatch(String(stdout), /postern application|Exit code|passes by itself/);
    } finally {
      await serve.kill();
      made.remove();
      await sandbox.close();
    }
  },
);
