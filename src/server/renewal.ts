/** The duty of renewal in a running server: it renews, watches over all grants, and tells people what needs them. */
import type { Registry } from 'prom-client';
import { type RenewalDuty, startRenewalDuty } from '../oauth/renewal-duty.ts';
import { elect } from './elected.ts';
import type { Instance } from './instance.ts';
import type { NoticeChannel } from './notice/channel.ts';
import { deliverDue } from './notice/delivery.ts';
import { surveyOutbox } from './notice/outbox.ts';
import { tellChanges } from './notice/watch.ts';
import { openRenewalMeter } from './renewal-metrics.ts';
import { surveyGrants } from '../oauth/survey.ts';

export interface RenewalOptions {
  /** Where metrics go. */
  readonly registry: Registry;
  readonly channels: readonly NoticeChannel[];
  /** Where the owner of a mailbox signs in again; undefined when nobody could follow it. */
  readonly link?: (address: string) => Promise<string | undefined>;
}

export interface RunningRenewal {
  readonly duty: RenewalDuty;
  /** Looks at all grants and tells what changed, now. */
  watch(): Promise<void>;
  /** Waits for renewals under way. */
  stop(): Promise<void>;
}

const WATCH_MS = 60_000;
/** The one that watches is replaced this long after it died. */
const LEASE_MS = 150_000;

export function startRenewal(instance: Instance, options: RenewalOptions): RunningRenewal {
  const { store, audit, clock, config } = instance;
  const { channels } = options;
  const duty = startRenewalDuty(instance.renewal, config.renewal);
  const meter = openRenewalMeter(options.registry, instance.renewal, duty);
  const watch = {
    store,
    audit,
    clock,
    channels: channels.map(({ name }) => name),
    link: options.link ?? (() => Promise.resolve(undefined)),
  };
  const watching = elect(instance, {
    name: 'renewal/watch',
    leaseMs: LEASE_MS,
    everyMs: WATCH_MS,
    // Nothing is forgotten: the next look sees the same.
    failed: 'could not watch over the grants just now',
    async round(elected, signal) {
      const survey = elected ? await surveyGrants(store, clock.now()) : undefined;
      meter.surveyed(survey, clock.now());
      if (survey) await tellChanges(watch, survey, await surveyOutbox(store, clock.now()));
      if (channels.length > 0) await deliverDue({ ...instance, channels }, signal);
    },
  });

  return {
    duty,
    watch: () => watching.look(),
    async stop() {
      await watching.stop();
      await duty.stop();
    },
  };
}
