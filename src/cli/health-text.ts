/** How a grant is doing, in words. */
import type { GrantHealth, RiskCause } from '../oauth/health.ts';
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
