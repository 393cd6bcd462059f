/**
 * Every mail program does its jobs through one door, over every kind of connection, and the outcome is read at the server
 * behind it. The same for each pair of authorization server and mail server.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { without } from '../bed/need.ts';
import { privateFolder } from '../bed/process.ts';
import { type Client, DELETE, type Door, KEEP, MOVE, SECURITIES, type Security } from './client.ts';
import { client as curl, inbox as curlInbox } from './client/curl.ts';
import { client as fetchmail } from './client/fetchmail.ts';
import { client as getmail } from './client/getmail.ts';
import { client as imapflow } from './client/imapflow.ts';
import { client as mbsync } from './client/mbsync.ts';
import { client as msmtp } from './client/msmtp.ts';
import { mutt, neomutt } from './client/mutt.ts';
import { client as nodemailer } from './client/nodemailer.ts';
import { client as python } from './client/python.ts';
import { attachmentHash, hash, letter, messageWith, noise } from './letters.ts';

/** What lies at the server, seen without going through the gateway. */
export interface Stored {
  readonly flags: readonly string[];
  readonly body: Buffer;
}

export interface Site {
  /** alice's way in. */
  readonly door: Door;
  /** Empties INBOX and Archive of the mailbox. */
  clear(address: string): Promise<void>;
  put(address: string, message: Buffer): Promise<void>;
  messages(address: string, folder: 'INBOX' | 'Archive'): Promise<readonly Stored[]>;
  /** What the servers logged, for a test that fails. */
  log(): string;
}

const CLIENTS: readonly Client[] = [
  curl,
  python,
  imapflow,
  nodemailer,
  neomutt,
  mutt,
  msmtp,
  mbsync,
  getmail,
  fetchmail,
];

const ALICE = 'alice@contoso.test';
const BOB = 'bob@contoso.test';
const LARGE = 25 * 2 ** 20;
const LARGE_BY: Readonly<Record<Security, Client>> = { plain: python, starttls: curl, tls: nodemailer };

/**
 * Registers the tests. `site` gives the running site; it is asked when the tests run.
 * `impossible`: why this machine cannot run the site, if so. `large`: over what 25 MB are sent and read back.
 */
export function exercise(
  site: () => Site,
  impossible: string | false = false,
  large: readonly Security[] = SECURITIES,
): void {
  for (const client of CLIENTS)
    for (const security of SECURITIES) {
      const reason = client.cannot?.[security];
      if (reason) continue;
      const title = `${client.name} over ${security}`;
      const skip = impossible || needs(client);
      const run = (job: string, work: (folder: string) => Promise<void>): void => {
        test(`${title}: ${job}`, { skip }, () => scratch(site, work));
      };
      if (client.imapTour)
        run('reads, flags, moves, appends, deletes', (folder) => imapTour(site(), client, security, folder));
      if (client.imapDrain) run('collects by IMAP', (folder) => drain(site(), client.imapDrain!, security, folder));
      if (client.pop3Tour) run('reads and deletes by POP3', (folder) => pop3Tour(site(), client, security, folder));
      if (client.pop3Drain) run('collects by POP3', (folder) => drain(site(), client.pop3Drain!, security, folder));
    }
  exerciseSending(site, impossible);
  for (const security of large) {
    const client = LARGE_BY[security];
    const title = `25 MB sent by ${client.name} over ${security} come back byte for byte by IMAP and POP3`;
    test(title, { skip: impossible || needs(client) }, () =>
      scratch(site, async (folder) => {
        await site().clear(ALICE);
        const sent = await send(site(), client, security, folder, LARGE, ALICE);
        await readBack(site(), security, folder, sent);
      }),
    );
  }
}

const needs = (client: Client): string | false => (client.package ? without(client.package) : false);

/** The part of it that sends, over every kind of connection. */
export function exerciseSending(site: () => Site, impossible: string | false = false): void {
  for (const client of CLIENTS)
    for (const security of SECURITIES) {
      if (!client.send || client.cannot?.[security]) continue;
      test(`${client.name} over ${security}: sends`, { skip: impossible || needs(client) }, () =>
        scratch(site, async (folder) => {
          await send(site(), client, security, folder, 100_000);
        }),
      );
    }
}

/** Gives the work an empty folder; when it fails, the servers' logs go with the failure. */
async function scratch(site: () => Site, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = privateFolder();
  try {
    await work(folder.path);
  } catch (error) {
    process.stderr.write(`--- what the servers said ---\n${site().log()}\n---\n`);
    throw error;
  } finally {
    folder.remove();
  }
}

async function imapTour(site: Site, client: Client, security: Security, folder: string): Promise<void> {
  await site.clear(ALICE);
  for (const subject of [MOVE, KEEP, DELETE]) await site.put(ALICE, letter(subject));
  const appended = letter('letter-appended');
  const read = await client.imapTour!({ door: site.door, security, folder, appended });
  sameLetter(read, letter(KEEP), 'what the program read');
  const inbox = await site.messages(ALICE, 'INBOX');
  assert.deepEqual(inbox.map(subjectOf).toSorted(), [KEEP, 'letter-appended'].toSorted(), 'INBOX afterwards');
  const kept = inbox.find((message) => subjectOf(message) === KEEP)!;
  assert.ok(kept.flags.includes('\\Flagged'), `flags of the kept letter: ${kept.flags.join(' ')}`);
  sameLetter(kept.body, letter(KEEP), 'the kept letter');
  sameLetter(inbox.find((message) => subjectOf(message) !== KEEP)!.body, appended, 'the appended letter');
  const archive = await site.messages(ALICE, 'Archive');
  assert.deepEqual(archive.map(subjectOf), [MOVE], 'Archive afterwards');
  sameLetter(archive[0]!.body, letter(MOVE), 'the moved letter');
}

async function pop3Tour(site: Site, client: Client, security: Security, folder: string): Promise<void> {
  await site.clear(ALICE);
  for (const subject of [DELETE, KEEP]) await site.put(ALICE, letter(subject));
  const read = await client.pop3Tour!({ door: site.door, security, folder });
  sameLetters(read, [letter(DELETE), letter(KEEP)]);
  assert.deepEqual((await site.messages(ALICE, 'INBOX')).map(subjectOf), [KEEP], 'INBOX afterwards');
}

async function drain(
  site: Site,
  collect: NonNullable<Client['imapDrain']>,
  security: Security,
  folder: string,
): Promise<void> {
  await site.clear(ALICE);
  const letters = [letter('letter-one'), letter('letter-two')];
  for (const each of letters) await site.put(ALICE, each);
  sameLetters(await collect({ door: site.door, security, folder }), letters);
  assert.deepEqual((await site.messages(ALICE, 'INBOX')).map(subjectOf), [], 'INBOX afterwards');
}

/** Sends a file of `octets` as alice and waits until it lies in the recipient's INBOX. Gives its hash. */
async function send(
  site: Site,
  client: Client,
  security: Security,
  folder: string,
  octets: number,
  to = BOB,
): Promise<string> {
  await site.clear(to);
  const content = noise(octets);
  const attachment = join(folder, 'noise.bin');
  writeFileSync(attachment, content);
  const subject = `sent-${client.name}-${security}-${octets}`.toLowerCase();
  const message = messageWith(subject, ALICE, to, 'noise.bin', content);
  await client.send!({ door: site.door, security, folder, from: ALICE, to, subject, attachment, message });
  const arrived = await arrival(site, to);
  assert.equal(subjectOf(arrived), subject);
  assert.equal(attachmentHash(arrived.body), hash(content), 'the attachment as it lies at the server');
  return hash(content);
}

async function arrival(site: Site, address: string): Promise<Stored> {
  for (const end = performance.now() + 20_000; performance.now() < end; await delay(50)) {
    const [message] = await site.messages(address, 'INBOX');
    if (message) return message;
  }
  throw new Error(`nothing arrived for ${address}`);
}

/** Reads the one large message through the same door, first by IMAP, then by POP3. */
async function readBack(site: Site, security: Security, folder: string, sent: string): Promise<void> {
  const programs = [
    ['IMAP', curlInbox],
    ['POP3', python.pop3Tour!],
  ] as const;
  for (const [name, read] of programs) {
    const part = join(folder, name);
    mkdirSync(part);
    const messages = await read({ door: site.door, security, folder: part });
    assert.equal(messages.length, 1);
    assert.equal(attachmentHash(messages[0]!), sent, `the attachment as read by ${name}`);
  }
}

const subjectOf = ({ body }: Stored): string =>
  /^Subject: (.*?)\r?$/m.exec(body.toString('latin1', 0, 8192))?.[1] ?? '';

/** Programs and servers may put trace headers in front (RFC 5321 §4.4); from `From:` on it is the letter itself. */
function own(message: Buffer): string {
  const text = message.toString('latin1');
  const at = text.search(/^From: /m);
  return text
    .slice(at)
    .replace(/^(?:X-UID|X-Keywords|Status|X-Status|Content-Length|Lines|X-TUID|X-getmail-[a-z-]+): .*\r\n/gm, '');
}

function sameLetter(actual: Buffer, expected: Buffer, what: string): void {
  assert.equal(own(actual).trimEnd(), own(expected).trimEnd(), what);
}

function sameLetters(actual: readonly Buffer[], expected: readonly Buffer[]): void {
  const texts = (letters: readonly Buffer[]): string[] => letters.map((each) => own(each).trimEnd()).toSorted();
  assert.deepEqual(texts(actual), texts(expected), 'what the program collected');
}
