/** The sites that the kill sweeps of the outbox run at. */
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import pg from 'pg';
import { startSandbox } from '../../src/sandbox/index.ts';
import { createHome, type Home } from './installation.ts';
import { ALICE, BOB, startMailSite } from './mail-site.ts';
import { arrivals, nothingLost, sweep } from './outbox-kills.ts';
import { startPostgres } from './postgres.ts';

export interface SweepRequest {
  readonly kills: number;
  readonly database: 'sqlite' | 'postgres';
}

export interface SweepResult {
  readonly acknowledged: number;
  /** Messages that arrived more than once. */
  readonly duplicates: number;
}

/** Milliseconds: some kills come before the first answer, some in the middle of delivery. */
const WITHIN = 900;
const EXPIRE = [
  'UPDATE leases SET until = 1 WHERE until > 1',
  "UPDATE outbox_messages SET state_at = 1 WHERE state = 'sending'",
  "UPDATE outbox_messages SET state_at = 1 WHERE state = 'queued'",
];
/** The provider is made fast: how pace is kept is tested elsewhere. */
const sendingLimits = { messagesPerMinute: 100_000, recipientsPerDay: 1_000_000, connections: 2 };

/** Real Dovecot and Postfix with tokens of a real authorization server; no sent mail is kept there. */
export async function sweepPostfix(request: SweepRequest): Promise<SweepResult> {
  const site = await startMailSite('jwt');
  try {
    const settings = { ...site.application.settings, sendingLimits, savesSent: false };
    const at = { ...site, application: { ...site.application, settings } };
    return await run(request, at, () => site.dovecot.messages(BOB).map(({ body }) => body));
  } finally {
    await site.stop();
  }
}

/** The sandbox tenant, which keeps sent mail as Exchange does, in this process: only the gateway is killed. */
export async function sweepSandbox(request: SweepRequest): Promise<SweepResult> {
  const sandbox = await startSandbox({ limits: { messagesPerMinute: 1_000_000, recipientsPerDay: 10_000_000 } });
  try {
    const trusted = { ca: sandbox.caPem };
    const { imap, pop3, smtp } = sandbox.mail;
    const site = {
      application: {
        provider: 'microsoft',
        clientId: sandbox.clients.public.id,
        settings: {
          authority: sandbox.authority,
          ca: sandbox.caPem,
          imap: { ...imap, ...trusted },
          pop3: { ...pop3, ...trusted },
          smtp: { ...smtp, ...trusted },
          sendingLimits,
        },
      },
      authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
    };
    return await run(request, site, () => sandbox.mailStore.find(BOB)!.inbox.messages.map(({ raw }) => raw));
  } finally {
    await sandbox.close();
  }
}

async function run(
  { kills, database }: SweepRequest,
  site: Parameters<typeof createHome>[0],
  received: () => readonly Buffer[],
): Promise<SweepResult> {
  const seed = Math.floor(Math.random() * 2 ** 31);
  process.stderr.write(`outbox kill sweep: seed ${seed}\n`);
  const postgres = database === 'postgres' ? await startPostgres() : undefined;
  const home = await createHome(site, postgres ? { env: { POSTERN_DATABASE_URL: postgres.url } } : {});
  try {
    const expire = (): Promise<void> => (postgres ? expirePostgres(postgres.url) : expireSqlite(home));
    const count = await sweep({ home, kills, within: WITHIN, random: generator(seed), expire });
    return { acknowledged: count.acknowledged.size, duplicates: nothingLost(count, arrivals(received())) };
  } finally {
    home.remove();
    await postgres?.stop();
  }
}

function expireSqlite(home: Home): Promise<void> {
  const database = new DatabaseSync(join(home.path, 'postern.db'), { timeout: 5000 });
  for (const text of EXPIRE) database.exec(text);
  database.close();
  return Promise.resolve();
}

async function expirePostgres(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  for (const text of EXPIRE) await client.query(text);
  await client.end();
}

/** mulberry32: reproducible, and good enough for choosing moments. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
