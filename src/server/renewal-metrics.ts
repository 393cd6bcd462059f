/** How renewal is doing, for monitoring. */
import { Gauge, type Registry } from 'prom-client';
import { HEALTH_NAMES } from '../oauth/health.ts';
import type { RenewalDuty } from '../oauth/renewal-duty.ts';
import type { RenewalDeps } from '../oauth/renewal-deps.ts';
import type { Survey } from '../oauth/survey.ts';

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
  const registers = [registry];
  const grants = new Gauge({
    name: 'postern_grants',
    help: 'Grants by health; told by one process of all that share the database.',
    labelNames: ['health'],
    registers,
  });
  const lag = new Gauge({
    name: 'postern_renewal_lag_seconds',
    help: 'How long the grant that is due longest has been due.',
    registers,
    aggregator: 'max',
  });
  const credentials = new Gauge({
    name: 'postern_credential_days_left',
    help: 'Days until a client credential ends, where its end is known.',
    labelNames: ['application', 'credential', 'type'],
    registers,
    aggregator: 'max',
  });
  registry.registerMetric(
    new Gauge({
      name: 'postern_renewals_in_flight',
      help: 'Renewals under way by duty.',
      registers: [],
      collect() {
        this.set(duty.inFlight);
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'postern_circuit_open',
      help: '1 while an authorization server counts as down, 0 otherwise.',
      labelNames: ['authority'],
      registers: [],
      aggregator: 'max',
      collect() {
        for (const [authority, { type }] of circuits.all()) this.set({ authority }, type === 'open' ? 1 : 0);
      },
    }),
  );
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
