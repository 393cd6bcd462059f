/** What `/metrics` shows of the HTTP API and of webhooks. */
import type { Registry } from 'prom-client';
import type { TryOutcome } from '../../outbox/webhook/dispatch.ts';
import { metricsIn } from '../metric.ts';

export interface ApiMeter {
  /** @param seconds until the answer began */
  request(method: string, status: number, seconds: number): void;
  webhookTried(outcome: TryOutcome, seconds: number): void;
}

/** Methods outside of these are counted together, so that nobody can make up time series. */
const METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);

export function openApiMeter(registry: Registry): ApiMeter {
  const { counter, histogram } = metricsIn(registry);
  const requests = counter('postern_api_requests_total', 'Requests to the HTTP API.', 'method', 'status');
  const seconds = histogram(
    'postern_api_request_seconds',
    'Time until an answer of the HTTP API began; event streams and long polls included.',
    [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
    'method',
  );
  const tries = counter(
    'postern_webhook_tries_total',
    'Tries to deliver an event to a webhook: delivered, again (to be tried again), failed (given up), gone.',
    'outcome',
  );
  const trySeconds = histogram(
    'postern_webhook_try_seconds',
    'Time a receiver took to answer, or to fail.',
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15],
  );
  return {
    request(method, status, took) {
      const label = METHODS.has(method) ? method : 'other';
      requests.inc({ method: label, status });
      seconds.observe({ method: label }, took);
    },
    webhookTried(outcome, took) {
      tries.inc({ outcome });
      trySeconds.observe(took);
    },
  };
}
