/**
 * The outbox fills its own disk while nothing leaves: it stops taking mail in while there is room to deliver what it has, and all of
 * that arrives, by itself, once the far end takes mail again. Also after a kill -9 and a start in that state.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cpSync, statfsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { startSandbox } from '../../src/sandbox/index.ts';
import { ALICE } from '../bed/mail-site.ts';
import { RunningServe } from '../bed/running-serve.ts';
import { sandboxHome } from '../bed/sandbox-home.ts';
import { diskFor } from '../bed/small-disk.ts';
import { Wire } from '../bed/wire.ts';

const MIB = 1 << 20;

/** A relay that takes nothing until it is open; how often each message came. */
async function startFarEnd() {
  const arrived = new Map<string, number>();
  const state = { open: false };
  const server = createServer((socket) => {
    let unread = '';
    let text: string[] | undefined;
    socket.on('error', () => socket.destroy());
    if (!state.open) return void socket.end('421 4.3.2 not now\r\n');
    socket.write('220 far end\r\n');
    socket.setEncoding('latin1').on('data', (octets: string) => {
      const lines = (unread + octets).split('\r\n');
      unread = lines.pop()!;
      for (const line of lines) {
        if (text !== undefined && line !== '.') text.push(line);
        else if (line === '.') {
          const whole = text!.join('\n');
          text = undefined;
          const id = /^Message-ID: <([^@]+)@/m.exec(whole)![1]!;
          assert.ok(whole.endsWith(`end of ${id}`), `${id} is whole`);
          arrived.set(id, (arrived.get(id) ?? 0) + 1);
          socket.write('250 2.0.0 taken\r\n');
        } else if (line === 'DATA') {
          text = [];
          socket.write('354 go on\r\n');
        } else if (line === 'QUIT') socket.end('221 bye\r\n');
        else socket.write('250 OK\r\n');
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { arrived, state, port: (server.address() as AddressInfo).port, close: () => server.close() };
}

test('K1: the outbox fills its own disk: mail is refused in time, what was accepted leaves by itself', async (t) => {
  const disk = diskFor(t, import.meta.filename, 20 * MIB, MIB);
  if (disk === undefined) return;
  const sandbox = await startSandbox();
  const made = await sandboxHome(sandbox);
  const far = await startFarEnd();
  const path = join(disk.path, 'home');
  const config = join(made.path, 'full.yaml');
  const relay = { host: '127.0.0.1', port: far.port, tls: 'none' };
  const listeners = [{ protocol: 'smtp', tls: 'none', port: 0 }];
  writeFileSync(config, JSON.stringify({ listeners, console: { port: 0 }, outbox: { relay } }));
  const running: RunningServe[] = [];
  const start = (): Promise<RunningServe> => {
    const one = new RunningServe(path, config);
    running.push(one);
    return one.ready();
  };
  const free = (): number => {
    const { bavail, bsize } = statfsSync(disk.path);
    return bavail * bsize;
  };
  const signedIn = async (port: number): Promise<Wire> => {
    const wire = await Wire.open({ host: '127.0.0.1', port });
    const token = Buffer.from(`\0${ALICE}\0${made.password}`).toString('base64');
    wire.send(`EHLO test\r\nAUTH PLAIN ${token}\r\n`);
    await wire.until(/^235 .*\r\n/m);
    return wire;
  };
  const hand = async (wire: Wire, id: string, octets: number): Promise<string> => {
    wire.send(`MAIL FROM:<${ALICE}>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\n`);
    await wire.until(/^354 .*\r\n/m);
    const body = `${'x'.repeat(76)}\r\n`.repeat(Math.ceil(octets / 78));
    wire.send(`From: ${ALICE}\r\nMessage-ID: <${id}@full.test>\r\n\r\n${body}end of ${id}\r\n.\r\n`);
    return wire.until(/^\d{3} .*\r\n/);
  };
  try {
    await made.cli(['mailbox', 'set', ALICE, '--outgoing', 'outbox', '--route', 'relay'], {
      env: { POSTERN_CONFIG: config },
    });
    cpSync(made.path, path, { recursive: true });
    const first = await start();
    const wire = await signedIn(first.imap);
    const taken: string[] = [];
    for (const octets of [200_000, 20_000, 1_000])
      for (let refused = 0; refused < 5;) {
        const id = `m${taken.length}.${octets}.${refused}`;
        const reply = await hand(wire, id, octets);
        if (reply.startsWith('250 ')) taken.push(id);
        else {
          assert.match(reply, /^452 4\.3\.1 the disk of the database is full/);
          refused += 1;
        }
      }
    wire.destroy();
    t.diagnostic(`${taken.length} were taken, ${free() >> 10} KiB were left`);
    assert.ok(taken.length > 10);
    assert.ok(free() > MIB, 'room is left for delivering');
    const { status, text } = await first.page('/readyz');
    assert.equal(status, 503);
    assert.match(text, /mail is refused/);

    await first.kill();
    const second = await start();
    far.state.open = true;
    for (const until = performance.now() + 120_000; far.arrived.size < taken.length; await delay(100))
      assert.ok(performance.now() < until, `only ${far.arrived.size} of ${taken.length} arrived:\n${second.log}`);
    assert.deepEqual(far.arrived, new Map(taken.map((id) => [id, 1])), 'each once, and nothing that was refused');
    assert.equal((await second.stop()).code, 0);
  } finally {
    for (const one of running) if (one.over === undefined) await one.kill();
    far.close();
    made.remove();
    await sandbox.close();
    disk.remove();
  }
});
