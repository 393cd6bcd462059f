/** mbsync fetches and stores while the connection to the provider is cut once: in the end both sides have each message once. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { KeptSession, type Serve } from '../bed/kept-session.ts';
import { without } from '../bed/need.ts';
import { privateFolder, runProgram } from '../bed/process.ts';
import { maildirFiles } from '../interop/maildir.ts';
import { serveImap } from '../../src/sandbox/mail/imap-session.ts';

const GREETING = '* PREAUTH [CAPABILITY IMAP4rev1 UIDPLUS LITERAL+] ready\r\n';
/** Once the cut, then what it takes to repair; cron would come again and again. */
const MAX_RUNS = 3;

class Site {
  readonly #folder = privateFolder();
  readonly #sessions: KeptSession[] = [];
  #port = 0;
  /** Of the first session; the others are of the same mailbox. */
  #first!: KeptSession;
  cut: Parameters<KeptSession['cutBefore']> | undefined;

  static async start(t: TestContext): Promise<Site> {
    const site = new Site();
    site.#first = await KeptSession.start();
    site.#sessions.push(site.#first);
    const serve: Serve = (conn, its) => serveImap(conn, { ...its, mail: site.#first.store });
    const server = createServer((door) => {
      door.on('error', () => undefined);
      door.write(GREETING);
      void KeptSession.start(serve, {}, door).then((session) => {
        site.#sessions.push(session);
        if (site.cut !== undefined) session.cutBefore(...site.cut);
        site.cut = undefined;
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    site.#port = (server.address() as AddressInfo).port;
    t.after(() => {
      server.close();
      for (const session of site.#sessions) session.close();
      site.#folder.remove();
    });
    mkdirSync(join(site.#near, 'new'), { recursive: true });
    for (const name of ['cur', 'tmp']) mkdirSync(join(site.#near, name));
    return site;
  }

  get #near(): string {
    return join(this.#folder.path, 'INBOX');
  }

  /** Whether the connection was lost where it was to be. */
  get cutDone(): boolean {
    return this.#sessions.some(({ moves, ended }) => moves.length > 0 || ended?.reason === 'server-closed');
  }

  arrive(name: string): void {
    const head = `Subject: ${name}\r\nMessage-ID: <${name}@contoso.test>\r\n`;
    this.#first.mailbox.inbox.add(Buffer.from(`${head}\r\n${'x'.repeat(1500)}\r\n`), 0);
  }

  write(name: string): void {
    writeFileSync(
      join(this.#near, 'new', `1700000000.${name}.host`),
      `Subject: ${name}\nMessage-ID: <${name}@contoso.test>\n\nhello\n`,
    );
  }

  async synchronise(): Promise<void> {
    const { path } = this.#folder;
    const config = join(path, 'mbsyncrc');
    writeFileSync(
      config,
      `IMAPStore far
Host 127.0.0.1
Port ${this.#port}
User alice
Pass none
SSLType None

MaildirStore near
Path ${path}/
Inbox ${this.#near}

Channel all
Far :far:
Near :near:
Sync All
SyncState *
`,
    );
    // A lost connection is an error of this run, and the next one repairs.
    await runProgram('mbsync', ['--config', config, 'all'], { env: { HOME: path } }).catch((error: unknown) => {
      assert.match(String(error), /BYE|connect|closed|EOF|reset/i);
    });
  }

  get near(): string[] {
    return maildirFiles(this.#near).map((path) => subjectOf(readFileSync(path, 'latin1')));
  }

  get far(): string[] {
    return this.#first.mailbox.inbox.messages.map(({ raw }) => subjectOf(raw.toString('latin1')));
  }
}

const subjectOf = (text: string): string => /^Subject: (\w+)/m.exec(text)?.[1] ?? text;

const pulled = ['d1', 'd2', 'd3', 'd4', 'd5', 'd6'];
const cuts = [
  ['before the first octet of the fourth answer', 'server', '* 4 FETCH (UID 4 BODY'],
  ['before the last line of an answer', 'server', ' OK FETCH'],
  ['in the middle of a message', 'server', 'Message-ID: <d4@'],
  ['before the commands', 'client', 'UID FETCH 4 '],
] as const;

for (const [where, who, text] of cuts)
  test(
    `F21: mbsync fetches, the connection is cut ${where}, and no message is lost`,
    { skip: without('isync') },
    async (t) => {
      const site = await Site.start(t);
      for (const name of pulled) site.arrive(name);
      site.cut = [who, text];
      for (let run = 0; run < MAX_RUNS; run++) await site.synchronise();
      assert.ok(site.cutDone);
      assert.deepEqual(site.near.toSorted(), pulled);
      assert.deepEqual(site.far, pulled);
    },
  );

for (const [what, who, text] of [
  ['the command', 'client', ' APPEND '],
  ['its reply', 'server', ' OK [APPENDUID'],
] as const)
  test(`F21: mbsync stores, ${what} is lost, and each message is there once`, { skip: without('isync') }, async (t) => {
    const site = await Site.start(t);
    for (const name of ['d1', 'd2', 'd3']) site.write(name);
    site.cut = [who, text];
    for (let run = 0; run < MAX_RUNS; run++) await site.synchronise();
    assert.ok(site.cutDone);
    assert.deepEqual(site.far.toSorted(), ['d1', 'd2', 'd3']);
    assert.deepEqual(site.near.toSorted(), ['d1', 'd2', 'd3']);
  });
