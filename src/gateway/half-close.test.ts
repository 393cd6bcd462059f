/** Programs that end their side of the connection when they have said all: what they sent is served, and answered, to its end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { relayKept } from '../../test/bed/kept-dialogue.ts';
import { Conn } from '../protocol/wire/conn.ts';
import type { Protocol } from '../store/protocols.ts';

/** What a provider says to a line; nothing to text. */
type Answers = (line: string) => string;

/** A connected pair: the end in the gateway's hands, and the peer's. */
async function pair(t: TestContext): Promise<readonly [Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [ours] = (await once(server, 'connection')) as [Socket];
  server.close();
  for (const socket of [ours, peer]) socket.on('error', () => undefined);
  t.after(() => [ours, peer].forEach((socket) => socket.destroy()));
  return [ours, peer];
}

interface Scene {
  /** By provider, in the order of their connections. */
  readonly heard: string[];
  readonly told: string;
}

/**
 * A program says this and ends its side. The provider answers after that, one line a turn, and takes the end of its client for the
 * end of both directions, as TLS has it. @param breaks after so many lines the first provider goes away
 */
async function halfClosed(
  t: TestContext,
  protocol: Protocol,
  said: string,
  answers: () => Answers,
  { capabilities = [] as string[], breaks = Infinity } = {},
): Promise<Scene> {
  const [near, program] = await pair(t);
  const heard: string[] = [];
  const ended = Promise.withResolvers<void>();
  const provider = async (): Promise<Socket> => {
    const [ours, theirs] = await pair(t);
    const answer = answers();
    const at = heard.push('') - 1;
    let rest = '';
    const lines: string[] = [];
    theirs.on('data', (bytes: Buffer) => {
      heard[at] += bytes.toString('latin1');
      rest += bytes.toString('latin1');
      const whole = rest.split('\r\n');
      rest = whole.pop()!;
      lines.push(...whole);
    });
    theirs.on('end', () => theirs.destroy());
    const serve = async (): Promise<void> => {
      await ended.promise;
      for (let served = 0; !theirs.destroyed; await new Promise((resolve) => setImmediate(resolve))) {
        const line = lines.shift();
        if (line === undefined) continue;
        if (at === 0 && served++ === breaks) return void theirs.destroy();
        const reply = answer(line);
        if (reply !== '' && theirs.writable) theirs.write(reply, 'latin1');
        if (/^(?:\S+ LOGOUT|QUIT)$/.test(line)) theirs.end();
      }
    };
    void serve();
    return ours;
  };
  const first = await provider();
  near.once('end', () => setImmediate(ended.resolve));
  program.end(said, 'latin1');
  const server = { socket: first, rest: Buffer.alloc(0) };
  relayKept(protocol, near, server, capabilities, async () => new Conn(await provider()));
  let told = '';
  for await (const bytes of program) told += String(bytes);
  return { heard, told };
}

const MAIL = 'MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n';
const TEXT = 'From: a@b.test\r\n\r\nhello\r\n';

/** A server of SMTP whose messages have a line `hello` at their end. */
function smtp(): Answers {
  let text: 'none' | 'dot' | 'chunk' = 'none';
  return (line) => {
    if (text !== 'none') {
      if (line !== (text === 'dot' ? '.' : 'hello')) return '';
      text = 'none';
      return '250 2.0.0 taken\r\n';
    }
    if (line === 'QUIT') return '221 2.0.0 bye\r\n';
    if (line === 'DATA') text = 'dot';
    else if (line.startsWith('BDAT')) text = 'chunk';
    else return '250 2.1.0 ok\r\n';
    return text === 'dot' ? '354 go\r\n' : '';
  };
}

test('F41 F42: SMTP commands and text that are held when a program ends its side are passed on and answered', async (t) => {
  const ok = '250 2.1.0 ok\r\n'.repeat(2);
  for (const [said, passed, told] of [
    [`${MAIL}BDAT ${TEXT.length} LAST\r\n${TEXT}QUIT\r\n`, undefined, `${ok}250 2.0.0 taken\r\n221 2.0.0 bye\r\n`],
    [`${MAIL}BDAT ${TEXT.length} LAST\r\n${TEXT}`, undefined, `${ok}250 2.0.0 taken\r\n`],
    [`${MAIL}DATA\r\n${TEXT}.\r\nQUIT\r\n`, undefined, `${ok}354 go\r\n250 2.0.0 taken\r\n221 2.0.0 bye\r\n`],
    [`${MAIL}DATA\r\n${TEXT}.\r\n`, undefined, `${ok}354 go\r\n250 2.0.0 taken\r\n`],
    // A message without its end, and a line without it, are not served; nor are they waited for.
    [`${MAIL}DATA\r\n${TEXT}`, undefined, `${ok}354 go\r\n`],
    [`${MAIL}RS`, MAIL, ok],
  ] as const) {
    const scene = await halfClosed(t, 'smtp', said, smtp, { capabilities: ['CHUNKING'] });
    assert.deepEqual([scene.heard, scene.told], [[passed ?? said], told], said);
  }
});

test('F41: a program that ended its side is told what became of its message when the provider goes away', async (t) => {
  const scene = await halfClosed(t, 'smtp', `${MAIL}DATA\r\n${TEXT}.\r\nQUIT\r\n`, smtp, { breaks: 5 });
  assert.match(scene.told, /354 go\r\n421 4\.4\.2 gate\.example the connection to the provider was lost; /);
});

/** A server of POP3. */
function pop3(): Answers {
  return (line) => {
    if (line === 'LIST' || line === 'UIDL') return '+OK\r\n1 a\r\n2 b\r\n.\r\n';
    if (line === 'RETR 1') return '+OK\r\n..\r\n\r\n..x\r\n\r\n.\r\n';
    return line === 'TOP 9 1' ? '-ERR none\r\n' : '+OK\r\n';
  };
}

test('F41 F42: POP3 commands that are held when a program ends its side are passed on and answered', async (t) => {
  const commands = ['STAT', 'LIST', 'TOP 9 1', 'UIDL', 'LIST 1', 'RETR 1', 'DELE 1'];
  for (const capabilities of [[], ['PIPELINING']])
    for (const last of ['NOOP', 'QUIT', 'RETR 1']) {
      const all = [...commands, last];
      const said = `${all.join('\r\n')}\r\n`;
      const scene = await halfClosed(t, 'pop3', said, pop3, { capabilities });
      assert.deepEqual(scene.heard, [said]);
      assert.equal(scene.told, all.map(pop3()).join(''));
      const half = await halfClosed(t, 'pop3', `${said}NO`, pop3, { capabilities });
      assert.equal(half.told, scene.told);
    }
  const lost = await halfClosed(t, 'pop3', 'STAT\r\nLIST\r\nQUIT\r\n', pop3, { breaks: 1 });
  assert.match(lost.told, /^\+OK\r\n-ERR \[SYS\/TEMP\] the connection to the provider was lost/);
});

/** A server of IMAP. */
function imap(): Answers {
  let idle = '';
  return (line) => {
    if (line === 'DONE') return `${idle} OK done\r\n`;
    const [tag, verb] = line.split(' ') as [string, string];
    if (verb === 'IDLE') idle = tag;
    if (verb === 'LOGOUT') return `* BYE see you\r\n${tag} OK done\r\n`;
    if (verb === undefined || line.endsWith('+}')) return ''; // text of a literal
    return verb === 'IDLE' || line.endsWith('}') ? '+ go on\r\n' : `${tag} OK done\r\n`;
  };
}

test('F41 F42: IMAP commands that are held when a program ends its side are passed on and answered', async (t) => {
  for (const [said, told] of [
    ['a NOOP\r\nb NOOP\r\n', 'a OK done\r\nb OK done\r\n'],
    ['a IDLE\r\nDONE\r\nb NOOP\r\nc LOGOUT\r\n', '+ go on\r\na OK done\r\nb OK done\r\n* BYE see you\r\nc OK done\r\n'],
    ['a IDLE\r\nDONE\r\nb NOOP\r\n', '+ go on\r\na OK done\r\nb OK done\r\n'],
    ['a NOOP\r\nb IDLE\r\n', 'a OK done\r\n+ go on\r\n'],
    ['a NOOP\r\nb APPEND x {10+}\r\nhalf', 'a OK done\r\n'],
  ] as const) {
    const scene = await halfClosed(t, 'imap', said, imap);
    assert.deepEqual(scene.heard, [said]);
    assert.equal(scene.told, told, said);
  }
});

test('F41: IMAP commands of a program that ended its side go to another server when theirs goes away', async (t) => {
  const scene = await halfClosed(t, 'imap', 'a NOOP\r\nb NOOP\r\n', imap, { breaks: 1 });
  assert.equal(scene.told, 'a OK done\r\nb OK done\r\n');
  assert.equal(scene.heard.length, 2);
});
