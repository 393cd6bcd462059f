/** The sites that the kill sweeps of the outbox run at, and what is found there afterwards. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { startSandbox } from '../../src/sandbox/index.ts';
import { openStore } from '../../src/store/open.ts';
import { type Consentable, createHome } from './installation.ts';
import { type Database, KillPlan } from './kill-plan.ts';
import { ALICE, BOB, startMailSite } from './mail-site.ts';
import { arrivals, type Story, Victim } from './outbox-kills.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { editMailbox } from '../../src/store/edit.ts';
import { z } from 'zod';
import { said } from './said.ts';

export interface SweepRequest {
  readonly kills: number;
  readonly database: Database;
  /** Points at random instead of one after the other. */
  readonly sample?: boolean;
  /** Homes whose processes are killed at the same time. */
  readonly homes?: number;
}

export interface SweepResult {
  readonly kills: number;
  /** Messages that programs were told are taken. */
  readonly acknowledged: number;
  /** Of them those that were sent again because an answer was missing. */
  readonly repeated: number;
  /** Messages that nobody answered for and nobody sent again: how many, and how many of them arrived. */
  readonly unanswered: number;
  readonly unansweredArrived: number;
  /** Acknowledged and not arrived. */
  readonly lost: readonly string[];
  /** Arrived more often than once, their stories saying that they may; and without such a word. */
  readonly ambiguous: readonly string[];
  readonly duplicates: readonly string[];
  /** Attempts of which a story says that the message may come twice. */
  readonly mayBeDuplicate: number;
  readonly seconds: number;
  /** Kills by kind of point, a line each. */
  readonly summary: readonly string[];
}

interface Site {
  readonly consentable: Consentable;
  /** Where the provider takes mail. */
  readonly upstream: number;
  /** What arrived in bob's inbox, all of it. */
  received(): Promise<readonly Buffer[]>;
}

/** The provider is made fast: how pace is kept is tested elsewhere. */
const sendingLimits = { messagesPerMinute: 100_000, recipientsPerDay: 1_000_000, connections: 20 };
/** Renewal has kill tests of its own. */
const TOKEN_SECONDS = 30 * 86_400;

/** Real Dovecot and Postfix with tokens of a real authorization server; no sent mail is kept there. */
export async function sweepPostfix(request: SweepRequest): Promise<SweepResult> {
  const site = await startMailSite('jwt');
  try {
    site.authority.ttl = TOKEN_SECONDS;
    const settings = { ...site.application.settings, sendingLimits, savesSent: false };
    return await run(request, {
      consentable: { ...site, application: { ...site.application, settings } },
      upstream: site.postfix.ports.smtps,
      async received() {
        for (const end = performance.now() + 60_000; site.postfix.queued() > 0; await delay(50))
          assert.ok(performance.now() < end, `Postfix keeps ${site.postfix.queued()} messages:\n${site.log()}`);
        return site.dovecot.messages(BOB).map(({ body }) => body);
      },
    });
  } finally {
    await site.stop();
  }
}

/** The sandbox tenant, which keeps sent mail as Exchange does, in this process: only the gateway is killed. */
export async function sweepSandbox(request: SweepRequest): Promise<SweepResult> {
  const limits = {
    messagesPerMinute: 1_000_000,
    recipientsPerDay: 10_000_000,
    smtpConnections: 1_000,
    imapConnections: 1_000,
  };
  const sandbox = await startSandbox({ limits, tokenLifetime: TOKEN_SECONDS });
  try {
    const trusted = { ca: sandbox.caPem };
    const { imap, pop3, smtp } = sandbox.mail;
    const settings = {
      authority: sandbox.authority,
      ca: sandbox.caPem,
      imap: { ...imap, ...trusted },
      pop3: { ...pop3, ...trusted },
      smtp: { ...smtp, ...trusted },
      sendingLimits,
    };
    return await run(request, {
      consentable: {
        application: { provider: 'microsoft', clientId: sandbox.clients.public.id, settings },
        authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
      },
      upstream: smtp.port,
      received: () => Promise.resolve(sandbox.mailStore.find(BOB)!.inbox.messages.map(({ raw }) => raw)),
    });
  } finally {
    await sandbox.close();
  }
}

async function run(request: SweepRequest, site: Site): Promise<SweepResult> {
  const { database, homes = 2, kills, sample = false } = request;
  const seed = Number(process.env['KILL_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  process.stderr.write(`outbox kill sweep: seed ${seed}\n`);
  const random = generator(seed);
  const begun = performance.now();
  const postgres = database === 'postgres' ? await startPostgres() : undefined;
  const victims: Victim[] = [];
  const closers: (() => Promise<void>)[] = [];
  try {
    await Promise.all(
      Array.from({ length: homes }, async (_, index) => {
        const { victim, close } = await openVictim(site, `home${index}`, postgres);
        victims.push(victim);
        closers.push(close);
      }),
    );
    const known = await victims[0]!.measure();
    process.stderr.write(`outbox kill sweep: points of one message ${JSON.stringify(known)}\n`);
    const plan = sample
      ? KillPlan.sample(database, kills, random, known)
      : KillPlan.sweep(database, kills, random, known);
    await Promise.all(victims.map((victim) => sweepOne(victim, plan)));
    await Promise.all(victims.map((victim) => victim.finish()));
    const found = await weigh(victims, arrivals(await site.received()));
    const seconds = Math.round((performance.now() - begun) / 1000);
    return { ...found, kills: plan.kills, seconds, summary: plan.summary() };
  } finally {
    for (const close of closers) await close();
    await postgres?.stop();
  }
}

async function openVictim(site: Site, name: string, postgres: Postgres | undefined) {
  const url = await postgres?.freshDatabase();
  const home = await createHome(site.consentable, url === undefined ? {} : { env: { POSTERN_DATABASE_URL: url } });
  const database = url ?? `sqlite:${join(home.path, 'postern.db')}`;
  const store = await openStore(database);
  await editMailbox(store, ALICE, () => ({ outgoing: 'outbox' }));
  await store.close();
  const made = await home.cli([
    'apikey',
    'add',
    '--label',
    'kills',
    '--allow',
    'messages:send',
    '--mailbox',
    ALICE,
    '--json',
  ]);
  const { key } = said(made.stdout.toString(), { key: z.string() });
  const client = url === undefined ? undefined : new pg.Client({ connectionString: url });
  await client?.connect();
  const query = url === undefined ? {} : { query: Number(new URL(url).port) };
  const victim = new Victim({
    home,
    name,
    database,
    apiKey: key,
    ports: { upstream: site.upstream, ...query },
    async endLeases() {
      await client?.query('UPDATE leases SET until = 1 WHERE until > 1');
    },
  });
  const close = async (): Promise<void> => {
    await victim.remove();
    await client?.end();
  };
  return { victim, close };
}

async function sweepOne(victim: Victim, plan: KillPlan): Promise<void> {
  for (let step = plan.take(); step; step = plan.take()) {
    const result = await victim.round(step);
    plan.report(step, result);
    if (result === 'killed' && plan.kills % 50 === 0)
      process.stderr.write(
        `outbox kill sweep: ${plan.kills} kills, ${victim.count.acknowledged.size} acknowledged here\n`,
      );
  }
}

type Weighed = Omit<SweepResult, 'kills' | 'seconds' | 'summary'>;

/** Holds what arrived against what programs were told, and against what the stories say. */
async function weigh(victims: readonly Victim[], arrived: ReadonlyMap<string, number>): Promise<Weighed> {
  const all = (which: 'acknowledged' | 'unanswered' | 'repeated'): Set<string> =>
    new Set(victims.flatMap(({ count }) => [...count[which]]));
  const acknowledged = all('acknowledged');
  const unanswered = all('unanswered');
  const strangers = [...arrived.keys()].filter((id) => !acknowledged.has(id) && !unanswered.has(id));
  assert.deepEqual(strangers, [], 'arrived, and nobody sent it');
  const every = new Set([...acknowledged, ...unanswered]);
  const stories = new Map<string, readonly Story[]>();
  for (const victim of victims) for (const [id, told] of await victim.stories(every)) stories.set(id, told);
  for (const id of acknowledged) {
    const told = stories.get(id) ?? [];
    assert.ok(told.length < 2, `${id} is ${told.length} messages of the outbox`);
    for (const { message } of told) assert.equal(message.state.type, 'sent', id);
  }
  const doubts = (id: string): number =>
    (stories.get(id) ?? [])
      .flatMap(({ events }) => events)
      // Where a look found nothing a second copy must not come here: the far ends of these tests keep copies at once.
      .filter(
        ({ data, type }) => type === 'deferred' && data['mayBeDuplicate'] === true && !('probablyNotSent' in data),
      ).length;
  const twice = [...arrived].filter(([, times]) => times > 1);
  return {
    acknowledged: acknowledged.size,
    repeated: all('repeated').size,
    unanswered: unanswered.size,
    unansweredArrived: [...unanswered].filter((id) => arrived.has(id)).length,
    lost: [...acknowledged].filter((id) => !arrived.has(id)),
    ambiguous: twice.filter(([id, times]) => times - 1 <= doubts(id)).map(([id]) => id),
    duplicates: twice.filter(([id, times]) => times - 1 > doubts(id)).map(([id]) => id),
    mayBeDuplicate: [...stories.keys()].reduce((sum, id) => sum + doubts(id), 0),
  };
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
