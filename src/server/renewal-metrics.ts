/** How renewal is doing, for monitoring. */
import type { Registry } from 'prom-client';
import { HEALTH_NAMES } from '../oauth/health.ts';
import type { RenewalDuty } from '../oauth/renewal-duty.ts';
import type { RenewalDeps } from '../oauth/renewal-deps.ts';
import type { Survey } from '../oauth/survey.ts';
import { metricsIn } from './metric.ts';

const DAY_MS = 86_400_000;

export interface RenewalMeter {
  /** What the process that watches over all grants saw; undefined when that is another process now. */
  surveyed(survey: Survey | undefined, now: number): void;
}

/** @param duty asked when metrics are read */
export function openRenewalMeter(
  registry: Registry,
  { circuits, clock }: Pick<RenewalDeps, 'circuits' | 'clock'>,
  duty: Pick<RenewalDuty, 'inFlight'>,
): RenewalMeter {
  const { gauge } = metricsIn(registry);
  const grants = gauge('postern_grants', 'Grants by health; told by one process of all that share the database.', {
    labelNames: ['health'],
  });
  const lag = gauge('postern_renewal_lag_seconds', 'How long the grant that is due longest has been due.', {
    aggregator: 'max',
  });
  const credentials = gauge(
    'postern_credential_days_left',
    'Days until a client credential ends, where its end is known.',
    { labelNames: ['application', 'credential', 'type'], aggregator: 'max' },
  );
  gauge('postern_renewals_in_flight', 'Renewals under way by duty.', {
    collect() {
      this.set(duty.inFlight);
    },
  });
  gauge('postern_circuit_open', '1 while an authorization server counts as down, 0 otherwise.', {
    labelNames: ['authority'],
    aggregator: 'max',
    collect() {
      for (const [authority, { type }] of circuits.all()) this.set({ authority }, type === 'open' ? 1 : 0);
    },
  });
  return {
    surveyed(survey, now) {
      grants.reset();
      credentials.reset();
      lag.set(0);
      if (!survey) return;
      const all = [...survey.grants.values()];
      for (const health of HEALTH_NAMES) {
        grants.set({ health }, all.filter((one) => one.health.type === health).length);
      }
      const due = Math.min(now, ...all.map(({ grant }) => grant.renewAt || now));
      lag.set((now - due) / 1000);
      for (const application of survey.applications) {
        for (const { id, type, expiresAt } of application.credentials ?? []) {
          if (expiresAt === undefined) continue;
          const days = Math.floor((expiresAt - clock.now()) / DAY_MS);
          credentials.set({ application: application.name, credential: id, type }, days);
        }
      }
    },
  };
}
