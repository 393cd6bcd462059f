/** How a grant is doing, and what came of the last try, in words. */
import type { GrantHealth, RiskCause } from '../oauth/health.ts';
import type { Mailbox, Tried } from '../store/types.ts';
import { when } from './context.ts';

/** One cell of a table. */
export function healthText(health: GrantHealth | undefined): string {
  switch (health?.type) {
    case undefined:
      return 'no grant';
    case 'healthy':
      return 'healthy';
    case 'at-risk':
      return `at risk${health.at === undefined ? '' : ` (${latest(health.cause)}${when(health.at)})`}: ${health.reason}`;
    case 'needs-consent':
      return `needs consent since ${when(health.since)}: ${health.reason}`;
    case 'suspended':
      return `suspended since ${when(health.since)}: ${health.reason}`;
  }
}

/** A token that cannot be renewed may be refused before its end. */
const latest = (cause: RiskCause): string => (cause === 'renewal-failing' ? 'at the latest ' : '');

/** Whether its protocols opened when a check or a test tried them last: one cell of a table. What has one answer is one part. */
export function triedText({ protocols, tried = {} }: Pick<Mailbox, 'protocols' | 'tried'>): string {
  const parts = [...Map.groupBy(protocols, (protocol) => oneText(tried[protocol]))];
  return parts.map(([text, which]) => (parts.length === 1 ? text : `${which.join(',')} ${text}`)).join('; ');
}

function oneText(one: Tried | undefined): string {
  if (one === undefined) return 'not tried';
  return one.failure === undefined ? `worked ${when(one.at)}` : `failed ${when(one.at)}: ${one.failure.reason}`;
}
