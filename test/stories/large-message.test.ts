/** A message of 100 MB passes without the process growing by it. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStore } from '../../src/store/open.ts';
import { privateFolder } from '../bed/process.ts';

const MIB = 1 << 20;
const OCTETS = 100_000_000;
const LINES = Buffer.from(`${'x'.repeat(76)}\r\n`.repeat(800));

/** Octets (proc(5)): `VmRSS` is resident now, `VmHWM` was at most since the mark was put down. */
function memory(pid: number, name: 'VmRSS' | 'VmHWM'): number {
  const row = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(row![1]) * 1024;
}

/** The last reply. */
async function send(port: number, octets: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (text) => (said += text.toString()));
  const until = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(said)) await once(socket, 'data');
    const found = said;
    said = '';
    return found;
  };
  await until(/^220 .*\r\n/);
  socket.write('MAIL FROM:<alice@contoso.test>\r\nRCPT TO:<bob@contoso.test>\r\nDATA\r\n');
  await until(/^354 .*\r\n/m);
  socket.write('From: alice@contoso.test\r\n\r\n');
  for (let sent = 0; sent < octets; sent += LINES.length) if (!socket.write(LINES)) await once(socket, 'drain');
  socket.write('.\r\n');
  const reply = await until(/^\d{3} .*\r\n/);
  socket.destroy();
  return reply;
}

test('a message of 100 MB takes at most 64 MiB', { timeout: 120_000 }, async (t) => {
  const folder = privateFolder();
  const child = fork(join(import.meta.dirname, '../bed/accepting-program.ts'), [folder.path], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  try {
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    for (let small = 0; small < 20; small++) assert.match(await send(port, 4000), /^250 /);
    const before = memory(child.pid!, 'VmRSS');
    writeFileSync(`/proc/${child.pid}/clear_refs`, '5');
    const reply = await send(port, OCTETS);
    const id = /^250 2\.0\.0 queued as (\S+)/.exec(reply)?.[1];
    assert.ok(id, reply);
    const extra = memory(child.pid!, 'VmHWM') - before;
    t.diagnostic(`${(extra / MIB).toFixed(0)} MiB`);
    assert.ok(extra <= 64 * MIB, `${(extra / MIB).toFixed(0)} MiB`);
    const store = await openStore(`sqlite:${join(folder.path, 'postern.db')}`);
    const message = await store.outbox.find(id);
    await store.close();
    assert.ok(message!.size >= OCTETS);
  } finally {
    child.kill();
    await once(child, 'exit');
    folder.remove();
  }
});
