/** `postern check` without an address: the machine's side. Files, disk, certificate, doors, settings, app passwords. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { brokenEnd } from '../audit/verify.ts';
import type { Clock } from '../base/clock.ts';
import { asError, isError, type PosternError } from '../base/error.ts';
import { ALIVE, aheadOf } from '../outbox/deliver/passing-time.ts';
import { heldOf, heldText, listHeld, releaseCommand } from '../outbox/held.ts';
import { listRests, type Rest, restText } from '../outbox/rest.ts';
import { webhooksAheadOf } from '../outbox/webhook/dispatch.ts';
import { storeError } from '../store/errors.ts';
import type { OutboxStats } from '../store/types-outbox.ts';
import { judgePasswords } from './app-passwords.ts';
import { checkCredential } from './credential.ts';
import { judgeDevices, judgeRefusedDevices } from './home-devices.ts';
import type { InstallationFacts } from './home-facts.ts';
import { judgeCertificate, judgeDisk, judgeFolder, judgeKey, judgeOpenness, MIB } from './home-files.ts';
import { judgeCatalogue, judgeListeners, judgeSettings } from './home-settings.ts';
import { type Found, operatorWarning, Steps } from './step.ts';
import type { CheckDeps, CheckOptions, Finding } from './types.ts';

/**
 * The findings, in order. Never throws but the abort.
 * @param deps the opened installation, or why it does not open: then its files are looked at all the same
 */
export async function* checkInstallation(
  deps: CheckDeps | PosternError,
  facts: InstallationFacts,
  clock: Clock,
  options: CheckOptions = {},
): AsyncGenerator<Finding, void, void> {
  const steps = new Steps(clock, options);
  yield await steps.run('home.folder', 'state folder', () => judgeFolder(facts.home.state));
  yield await steps.run('home.key', 'master key', () => judgeKey(facts));
  if (isError(deps)) yield steps.failed('home.database', 'database and vault', deps);
  else yield await steps.run('home.database', 'database and vault', () => judgeDatabase(deps.store, facts));
  // A full disk is one failure, told with the database.
  if (isError(deps, 'store.full')) yield steps.skipped('home.disk', 'disk', 'full, see the database');
  else
    yield await steps.run('home.disk', 'disk', () =>
      judgeDisk(dirname(facts.databasePath ?? facts.home.config), facts.home.state),
    );
  yield await steps.run('home.certificate', 'gateway certificate', () => judgeCertificate(facts, clock.now()));
  yield await steps.run('home.listeners', 'listeners', () => judgeListeners(facts));
  yield await steps.run('home.settings', 'settings', () => judgeSettings(facts));
  yield await steps.run('home.catalogue', 'catalogue', () => judgeCatalogue(clock.now()));
  if (isError(deps)) return;
  yield await steps.run('home.passwords', 'app passwords', async () =>
    judgePasswords(await deps.store.appPasswords.list(), clock.now()),
  );
  yield await steps.run('home.audit', 'audit log', () => judgeAudit(deps));
  yield await steps.run('home.outbox', 'outbox', async () => judgeOutbox(deps.store, clock.now()));
  yield await steps.run('home.clock', 'clock', () => judgeClock(deps.store, clock.now()));
  const { devices } = facts;
  if (devices) {
    yield await steps.run('home.devices', 'devices without sign-in', () => judgeDevices(devices, deps.store));
    yield await steps.run('home.devices-tls', 'devices turned away', () =>
      judgeRefusedDevices(deps.store.audit, clock.now()),
    );
  }
  yield await steps.run('home.applications', 'applications', () => judgeApplications(deps));
}

async function judgeDatabase(store: CheckDeps['store'], { databasePath }: InstallationFacts): Promise<Found> {
  await store.ping();
  if (databasePath === undefined) return { says: `${store.engine} answers`, facts: { engine: store.engine } };
  const { size } = statSync(databasePath);
  const damage = await store.space.damage(MAX_CHECKED_OCTETS);
  if (damage !== undefined)
    throw storeError('store.damaged', `the database file ${databasePath} is damaged: ${damage}`);
  const { free, gives } = await store.space.state();
  const found = judgeOpenness(databasePath, {
    says: `${store.engine} answers, ${Math.ceil(size / MIB)} MiB`,
    facts: { engine: store.engine, octets: size, free },
  });
  if (found.warning || gives !== 'compacted' || free < WORTH_IT || free < size / 2) return found;
  return {
    ...found,
    says: `${found.says}, of which ${Math.ceil(free / MIB)} MiB hold nothing`,
    warning: operatorWarning(
      'home.database-space',
      'an earlier version made the database, so what was removed from it does not give its space back to the disk',
      { do: 'stop the server, then rewrite the database', run: 'postern compact' },
    ),
  };
}

/** The end of the log alone: reading all of it may take minutes. */
async function judgeAudit({ store, auditKey }: CheckDeps): Promise<Found> {
  const broken = await brokenEnd(store.audit, auditKey);
  const records = (await store.audit.head())?.seq ?? 0;
  if (!broken) return { says: `its end is as Postern wrote it, record ${records}`, facts: { records } };
  return {
    says: `record ${broken.seq}: ${broken.reason}`,
    facts: { records, brokenAt: broken.seq, reason: broken.reason },
    warning: operatorWarning(
      'home.audit-broken',
      `the audit log was changed by something that is not Postern (record ${broken.seq}: ${broken.reason})`,
      { do: 'see who can write to the database', run: 'postern check --details' },
      { do: 'compare the log with an export or a backup that you kept elsewhere', run: 'postern audit verify' },
    ),
  };
}

/** Up to this size every page of the database is read, which takes a second or two. */
const MAX_CHECKED_OCTETS = 512 * MIB;
/** Free space of a database that is worth a line. */
const WORTH_IT = 256 * MIB;

/** Retries are minutes to hours apart; what was due for longer than this is not being delivered. */
const OUTBOX_LATE_MS = 3_600_000;

async function judgeOutbox(store: CheckDeps['store'], now: number): Promise<Found> {
  const [stats, rests, holding] = await Promise.all([
    store.outbox.stats(now),
    listRests(store.outbox),
    listHeld(store),
  ]);
  // What is held waits rightly, however old it is; so only mail of other mailboxes can be late.
  const late = holding.length === 0 || (await dueElsewhere(store, now - OUTBOX_LATE_MS));
  const found = judgeQueue(late ? stats : { ...stats, oldestDueAt: undefined }, rests, now);
  if (holding.length === 0) return found;
  const facts = {
    ...found.facts,
    heldMailboxes: holding.map((one) => ({ ...one, since: new Date(one.since).toISOString() })),
  };
  const notes = [...(found.notes ?? []), ...holding.map(heldText)];
  const waiting = await Promise.all(holding.map(async (one) => (await store.outbox.stats(now, one.mailbox)).queued));
  const at = waiting.findIndex((count) => count > 0);
  if (found.warning || at === -1) return { ...found, notes, facts };
  const first = holding[at]!;
  return {
    ...found,
    notes,
    facts,
    warning: operatorWarning(
      'home.outbox-held',
      `${heldText(first)}; ${waiting[at]} ${waiting[at] === 1 ? 'message waits' : 'messages wait'}`,
      { do: 'let its mail go when the reason is gone', run: releaseCommand(first) },
    ),
  };
}

/** Whether mail of a mailbox that nobody holds was due then. */
async function dueElsewhere({ outbox, mailboxes }: CheckDeps['store'], then: number): Promise<boolean> {
  for (const { mailbox } of await outbox.dueMailboxes(then))
    if (heldOf(await mailboxes.opened(mailbox)) === undefined) return true;
  return false;
}

function judgeQueue({ queued, sending, held, oldestDueAt }: OutboxStats, rests: readonly Rest[], now: number): Found {
  const facts = {
    queued,
    sending,
    held,
    oldestDueAt: oldestDueAt === undefined ? null : new Date(oldestDueAt).toISOString(),
    resting: rests.map(({ scope, about, route, row, since, until, reply }) => ({
      scope,
      about,
      route,
      row,
      since: new Date(since).toISOString(),
      until: new Date(until).toISOString(),
      reply,
    })),
  };
  const says = `${queued} waiting, ${sending} being sent, ${held} held`;
  const [worst] = rests.toSorted((a, b) => Number(a.passesWhen !== undefined) - Number(b.passesWhen !== undefined));
  if (worst)
    return {
      says,
      notes: rests.map((rest) => `${restText(rest)}; the provider said: ${rest.reply}`),
      facts,
      warning: {
        id: worst.row,
        cause: restText(worst),
        blame: worst.passesWhen === undefined ? 'admin' : 'provider',
        remedy: [
          ...(worst.remedy === '' ? [] : [{ do: worst.remedy }]),
          { do: 'try it at once when that is done', run: 'postern outbox retry ID' },
        ],
      },
    };
  if (oldestDueAt === undefined || now - oldestDueAt < OUTBOX_LATE_MS) return { says, facts };
  return {
    says,
    facts,
    warning: operatorWarning(
      'home.outbox-late',
      `mail that was accepted ${Math.round((now - oldestDueAt) / 60_000)} minutes ago is due and not sent`,
      { do: 'see that the gateway runs, which delivers it', run: 'postern serve' },
      { do: 'and why a message waits', run: 'postern outbox show ID' },
    ),
  };
}

/** Clocks of several machines differ by less. */
const CLOCK_AHEAD_MS = 5 * 60_000;

/** What is dated in the future tells that the clock ran ahead, or is behind now. */
async function judgeClock(store: CheckDeps['store'], now: number): Promise<Found> {
  const leases = await store.leases.ahead();
  const alive = Number((await store.outbox.entry(ALIVE)) ?? 0);
  const tokens = (await store.grants.overview()).filter(
    ({ renewal }) => (renewal?.renewedAt ?? 0) > now + CLOCK_AHEAD_MS,
  );
  const mail = await store.outbox.ahead(aheadOf(now));
  const webhooks = await store.webhooks.ahead(webhooksAheadOf(now));
  const facts = {
    leasesAhead: leases,
    tokensAhead: tokens.length,
    deliveryAheadMs: Math.max(0, alive - now),
    messagesAhead: mail,
    webhooksAhead: webhooks,
  };
  const says = new Date(now).toISOString();
  if (leases.length + tokens.length + mail + webhooks === 0 && alive <= now + CLOCK_AHEAD_MS)
    return { says: `${says}, nothing is dated later`, facts };
  return {
    says,
    facts,
    warning: {
      id: 'home.clock-ahead',
      cause:
        'the clock was ahead and has been corrected, or is behind now: the database has entries dated in the future',
      blame: 'operator',
      passesWhen: 'postern serve has run for a minute with the right time: it takes over what is dated in the future',
      remedy: [{ do: 'see that the time is right and kept right', run: 'timedatectl status' }],
    },
  };
}

async function judgeApplications({ store, vault, clock }: CheckDeps): Promise<Found> {
  const applications = await store.applications.list();
  const names = applications.map(({ name }) => name);
  if (names.length > 0) {
    // The whole story is told with each application's mailboxes; here also of those without any.
    const judged = await Promise.all(applications.map((one) => checkCredential({ vault, clock }, one).catch(asError)));
    const notes = judged.map((found, at) => `${names[at]!}: ${isError(found) ? found.message : found.says}`);
    const facts = { applications: names };
    const broken = judged.find((found) => isError(found));
    if (broken)
      return {
        says: names.join(', '),
        notes,
        facts,
        warning: operatorWarning('credential.ends', broken.message, { do: broken.hint }),
      };
    const warning = judged.flatMap((found) => (isError(found) ? [] : (found.warning ?? [])))[0];
    return { says: names.join(', '), notes, facts, ...(warning ? { warning } : {}) };
  }
  return {
    says: 'none is set up',
    warning: operatorWarning(
      'home.no-application',
      'no application at a provider is set up, so no mailbox can be added',
      { do: 'register an application and tell Postern about it', run: 'postern register microsoft --apply' },
    ),
  };
}
