/** Delivery in a running installation: one process at a time empties the outbox, the others stand by. */
import { hostname as machine } from 'node:os';
import type { Registry } from 'prom-client';
import { asError } from '../base/error.ts';
import { startDelivery } from '../outbox/deliver/delivery.ts';
import { InboxRoute } from '../outbox/deliver/inbox-route.ts';
import { DeliveryMarks } from '../outbox/deliver/proof.ts';
import { report } from '../outbox/deliver/report.ts';
import { listRests } from '../outbox/rest.ts';
import { ImapSentProbe } from '../outbox/deliver/sent-probe.ts';
import { presetById, UNPUBLISHED_LIMITS } from '../oauth/providers.ts';
import type { SendingLimits } from '../oauth/preset.ts';
import { watchReturns } from '../outbox/deliver/returns.ts';
import type { DeliveryMeter, SentProbe } from '../outbox/deliver/types.ts';
import type { Mailbox } from '../store/types.ts';
import { type SignInAt, Upstream } from '../upstream/upstream.ts';
import { elect } from './elected.ts';
import type { Instance } from './instance.ts';
import { endedBy } from './part.ts';
import { applicationOf, keepsSent } from './sent-copies.ts';
import { metricsIn } from './metric.ts';
import { openSuppressed } from '../outbox/suppressed.ts';
import { openRoutes } from './routes.ts';

export interface RunningDelivery {
  /** Lets attempts under way end, then stops. */
  stop(): Promise<void>;
}

/** Whoever dies is replaced this soon. */
const LEASE_MS = 15_000;
const RENEW_MS = 5_000;
const TIDY_MS = 3_600_000;
/** Milliseconds the provider has for a sign-in. */
const SIGN_IN_MS = 45_000;
/** The oldest message that waits longer than this is said in the log, again and again. */
const TOO_OLD_MS = 15 * 60_000;
const LOOK_MS = 60_000;

export function startDeliveryDuty(instance: Instance, registry: Registry): RunningDelivery {
  const { clock, config, log, outbox, store, tokens, vault } = instance;
  const upstream = new Upstream({ tokens, clock, upstreamMs: SIGN_IN_MS, ehloName: config.hostname });
  const signIn: SignInAt = (mailbox, protocol, signal) => upstream.signIn(mailbox, protocol, signal);
  const routes = openRoutes(instance, signIn);
  const meter = openDeliveryMeter(registry, instance);
  const hostname = config.hostname ?? machine();
  const suppressed = openSuppressed(store);
  // Asked before the duty is claimed, which puts it right.
  const warned = warnOfLeases(instance);
  const delivering = elect(instance, {
    name: 'outbox/delivery',
    leaseMs: LEASE_MS,
    everyMs: RENEW_MS,
    failed: 'delivery could not be watched over',
    async begin(owner) {
      const marks = await DeliveryMarks.open(vault);
      const delivery = startDelivery({
        store,
        outbox,
        clock,
        log,
        owner,
        meter,
        routes: (mailbox) => routes.of(mailbox),
        limits: (mailbox) => limitsFor(instance, mailbox),
        suppressed,
        marks,
        probe: probeWhereKept(instance, new ImapSentProbe({ signIn, outbox: store.outbox, marks, clock, log })),
        inbox: new InboxRoute(signIn, clock),
        report: (message, kind) => report({ store, outbox, clock, hostname }, message, kind),
      });
      const returns = watchReturns({ store, signIn, marks, clock, log });
      return endedBy(async () => {
        await Promise.all([delivery.close(), returns.close()]);
      });
    },
    chores: [
      { everyMs: LOOK_MS, work: () => warnOfAge(instance) },
      { everyMs: TIDY_MS, work: () => tidy(instance) },
    ],
  });
  return {
    async stop() {
      await warned;
      await delivering.stop();
      await routes.close();
    },
  };
}

async function tidy({ log, outbox }: Instance): Promise<void> {
  try {
    const { orphans, forgotten } = await outbox.tidy();
    if (orphans + forgotten > 0) log.info({ orphans, forgotten }, 'the outbox was tidied');
  } catch (error) {
    log.warn({ code: asError(error).code }, 'the outbox could not be tidied; it will be in an hour');
  }
}

async function limitsFor(instance: Instance, mailbox: Mailbox): Promise<SendingLimits> {
  const application = await applicationOf(instance, mailbox);
  const known = presetById(application?.provider ?? '')?.sendingLimits ?? UNPUBLISHED_LIMITS;
  return { ...known, ...(application?.settings.sendingLimits as Partial<SendingLimits>) };
}

/** Looks only where the provider keeps what it sent: elsewhere a message that is not there may have gone out all the same. */
function probeWhereKept(instance: Instance, probe: SentProbe): SentProbe {
  return {
    async look(attempt, signal) {
      return (await keepsSent(instance, attempt.mailbox)) ? probe.look(attempt, signal) : 'unable';
    },
  };
}

/** Said once at the start; they are taken over. */
async function warnOfLeases({ log, store }: Instance): Promise<void> {
  try {
    const leases = await store.leases.ahead();
    if (leases.length > 0)
      log.warn({ leases }, 'duties were claimed by a clock that ran ahead and has been corrected; they are taken over');
  } catch (error) {
    log.debug({ code: asError(error).code }, 'the leases could not be looked at');
  }
}

async function warnOfAge({ clock, log, outbox }: Instance): Promise<void> {
  try {
    const { oldestDueAt, queued } = await outbox.stats();
    const age = oldestDueAt === undefined ? 0 : clock.now() - oldestDueAt;
    if (age > TOO_OLD_MS)
      log.warn(
        { queued, oldestSeconds: Math.round(age / 1000) },
        'mail waits too long in the outbox; see: postern outbox list',
      );
  } catch (error) {
    log.debug({ code: asError(error).code }, 'the outbox could not be counted');
  }
}

function openDeliveryMeter(registry: Registry, { clock, outbox, store }: Instance): DeliveryMeter {
  const { gauge, histogram } = metricsIn(registry);
  const attempts = histogram(
    'postern_outbox_attempt_seconds',
    'Attempts to send a message by route, outcome and code.',
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    'route',
    'outcome',
    'code',
  );
  gauge('postern_outbox_messages', 'Messages in the outbox by state.', {
    labelNames: ['state'],
    aggregator: 'max',
    async collect() {
      const { queued, sending, held } = await outbox.stats();
      this.set({ state: 'queued' }, queued);
      this.set({ state: 'sending' }, sending);
      this.set({ state: 'held' }, held);
    },
  });
  gauge('postern_outbox_oldest_seconds', 'Age of the oldest message that is due and not sent; 0 when none is.', {
    aggregator: 'max',
    async collect() {
      const { oldestDueAt } = await outbox.stats();
      this.set(oldestDueAt === undefined ? 0 : (clock.now() - oldestDueAt) / 1000);
    },
  });
  gauge(
    'postern_outbox_resting',
    'What refuses mail and is tried now and then only: mailboxes, organisations (tenant), routes of a mailbox, servers (endpoint).',
    {
      labelNames: ['scope'],
      aggregator: 'max',
      async collect() {
        const rests = await listRests(store.outbox);
        for (const scope of ['mailbox', 'tenant', 'route', 'endpoint'] as const)
          this.set({ scope }, rests.filter((rest) => rest.scope === scope).length);
      },
    },
  );
  return {
    attempted(route, outcome, code, milliseconds) {
      attempts.observe({ route, outcome, code }, milliseconds / 1000);
    },
  };
}
