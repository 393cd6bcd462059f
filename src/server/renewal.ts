/** The duty of renewal in a running server: it renews, watches over all grants, and tells people what needs them. */
import { randomBytes } from 'node:crypto';
import type { Registry } from 'prom-client';
import { asError } from '../base/error.ts';
import { startRenewalDuty } from '../oauth/renewal-duty.ts';
import type { RenewalDuty } from '../oauth/renewal-duty.ts';
import type { Lease } from '../store/types.ts';
import type { Instance } from './instance.ts';
import type { NoticeChannel } from './notice/channel.ts';
import { deliverDue } from './notice/delivery.ts';
import { tellChanges } from './notice/watch.ts';
import { openRenewalMeter } from './renewal-metrics.ts';
import { surveyGrants } from './survey.ts';

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
  const { store, audit, clock, log, config } = instance;
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
  const owner = randomBytes(8).toString('hex');
  const stopping = new AbortController();
  let lease: Lease | undefined;
  let looking: Promise<void> | undefined;

  const look = async (): Promise<void> => {
    try {
      lease = lease ? await store.leases.renew(lease, LEASE_MS) : undefined;
      lease ??= await store.leases.acquire('renewal/watch', owner, LEASE_MS);
      const survey = lease ? await surveyGrants(store, clock.now()) : undefined;
      meter.surveyed(survey, clock.now());
      if (survey) await tellChanges(watch, survey);
      if (channels.length > 0) await deliverDue({ ...instance, channels }, stopping.signal);
    } catch (error) {
      // Nothing is forgotten: the next look sees the same.
      log.warn(
        { code: asError(error).code, error: asError(error).message },
        'could not watch over the grants just now',
      );
    }
  };
  const lookOnce = (): Promise<void> => (looking ??= look().finally(() => (looking = undefined)));
  const arm = () => clock.after(WATCH_MS, again);
  const again = (): void => {
    timer = arm();
    void lookOnce();
  };
  let timer = arm();
  void lookOnce();

  return {
    duty,
    watch: lookOnce,
    async stop() {
      timer.cancel();
      stopping.abort(new Error('the server stops'));
      await looking;
      await duty.stop();
      if (lease) {
        await store.leases.release(lease).catch((error: unknown) => {
          log.debug({ code: asError(error).code }, 'a lease was left to run out');
        });
      }
    },
  };
}
