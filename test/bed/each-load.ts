/** Each way to make a gateway hold more than it should, as tests against a line. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LOADS, type Target, underLoad } from './hostile-load.ts';
import { residentBytes } from './postern.ts';
import { type SandboxGateway, startSandboxGateway } from './sandbox-gateway.ts';
import { z } from 'zod';
import { said } from './said.ts';

/** @param ms of each way */
export function testEachLoad(connections: number, ms: number): void {
  /** What may be held for peers, what so many connections cost with their TLS-less buffers, and a collection that is late. */
  const line = 64 + connections * 0.1 + 96;
  let gateway: SandboxGateway;
  let target: Target;
  before(async () => {
    gateway = await startSandboxGateway();
    const { door, facts } = gateway;
    const made = await gateway.cli([
      'password',
      'add',
      '--mailbox',
      door.user,
      '--label',
      'outbox',
      '--outgoing',
      'outbox',
      '--json',
    ]);
    const { password: outboxPassword } = said(made.stdout.toString(), { password: z.string() });
    const { imap, smtp } = facts.gateway;
    target = { imap, smtp, user: door.user, password: door.password, outboxPassword, pid: gateway.pid };
  });
  after(() => gateway?.stop());

  for (const name of Object.keys(LOADS))
    test(name, async (t) => {
      const before = residentBytes(target.pid);
      const { peak, slowest } = await underLoad(name, target, connections, ms);
      const grown = (peak - before) / 2 ** 20;
      t.diagnostic(
        `${Math.round(before / 2 ** 20)} MiB, then ${Math.round(grown)} more; slowest answer ${Math.round(slowest)} ms`,
      );
      assert.ok(grown < line, `grew by ${Math.round(grown)} MiB`);
      assert.ok(gateway.running);
    });
}
