/**
 * Golden transcripts: dialogues as they are on the wire, held against the gateway with both its halves.
 *
 * `P:` the mail program, `G:` the gateway to the program, `U:` the gateway to the provider, `S:` the provider; `{}` stands for
 * any text, `G*` for lines up to and including one like this, `S!` for a new connection of the gateway to the provider.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { secureServer, serverContext } from '../../src/protocol/tls/server.ts';
import { Conn } from '../../src/protocol/wire/conn.ts';
import type { Protocol } from '../../src/store/protocols.ts';
import { ADDRESS } from '../bed/fake-access.ts';
import { certificates, type Certificates } from '../bed/fake-provider.ts';
import { startBench } from '../bed/gateway.ts';

interface Step {
  readonly number: number;
  readonly who: 'P:' | 'G:' | 'G*' | 'U:' | 'S:' | 'S!';
  readonly text: string;
}

let authority: Certificates;
before(async () => {
  authority = await certificates();
});

const files = globSync('*.txt', { cwd: import.meta.dirname }).toSorted();
assert.ok(files.length > 0, 'there are transcripts');

for (const file of files) {
  const lines = readFileSync(join(import.meta.dirname, file), 'utf8').split('\n');
  const title = lines[0]!.replace(/^# /, '');
  test(`${file}: ${title}`, { timeout: 20_000 }, () => play(lines));
}

async function play(lines: readonly string[]): Promise<void> {
  const protocol = lines.find((line) => /^(?:imap|pop3|smtp)$/.test(line)) as Protocol;
  const steps = lines.flatMap((line, index): Step[] => {
    const found = /^(P:|G:|G\*|U:|S:|S!) ?(.*)$/.exec(line);
    return found ? [{ number: index + 1, who: found[1] as Step['who'], text: found[2]! }] : [];
  });
  const provider = await scriptedProvider();
  const endpoint = { ...ENDPOINT, protocol, port: provider.port, trust: { ca: authority.ca } };
  const bench = await startBench(authority, [{ protocol }], [{ endpoint }]);
  const client = await bench.client();
  let upstream: Conn | undefined;
  const provides = async (): Promise<Conn> => (upstream ??= await provider.next());
  try {
    for (const step of steps) {
      const at = `line ${step.number}`;
      if (step.who === 'P:') await client.send(step.text);
      else if (step.who === 'G:') assertLike(await client.line(), step.text, at);
      else if (step.who === 'G*') assertLike((await client.until(pattern(step.text))).at(-1)!, step.text, at);
      else if (step.who === 'S:') await (await provides()).write(`${step.text}\r\n`);
      else if (step.who === 'U:') assertLike(await lineOf(await provides()), step.text, at);
      else upstream = undefined;
    }
  } finally {
    upstream?.destroy();
    await bench.close();
    await provider.close();
  }
}

const ENDPOINT = {
  host: '127.0.0.1',
  tls: 'implicit',
  user: ADDRESS,
  mechanisms: ['XOAUTH2', 'OAUTHBEARER'],
} as const;

/** Takes connections over TLS and says nothing by itself. */
async function scriptedProvider() {
  const context = serverContext(await authority.issue());
  const waiting: ((conn: Conn) => void)[] = [];
  const arrived: Conn[] = [];
  const open = new Set<Socket>();
  const server = createServer((plain) => {
    open.add(plain);
    plain.on('error', () => plain.destroy());
    secureServer(plain, context, { timeoutMs: 5000 }).then(
      (socket) => {
        const conn = new Conn(socket, { idleMs: 5000 });
        const taker = waiting.shift();
        if (taker) taker(conn);
        else arrived.push(conn);
      },
      () => plain.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    next: (): Promise<Conn> => {
      const here = arrived.shift();
      return here ? Promise.resolve(here) : new Promise((resolve) => waiting.push(resolve));
    },
    async close() {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, 'close');
    },
  };
}

async function lineOf(conn: Conn): Promise<string> {
  return (await conn.line(1 << 16))?.toString() ?? '<end>';
}

/** The text with `{}` for anything. */
function pattern(text: string): RegExp {
  const parts = text.split('{}').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`);
}

function assertLike(line: string, text: string, at: string): void {
  assert.match(line, pattern(text), `${at}: ${JSON.stringify(line)} is not ${JSON.stringify(text)}`);
}
