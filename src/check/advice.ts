/** What the catalogue knows in advance of a mailbox: limits of its provider and changes that will concern it. */
import { fillSteps } from '../oauth/catalogue/diagnose.ts';
import type { Catalogue, ProviderChange, ProviderLimit } from '../oauth/catalogue/schema.ts';
import type { Flow } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { DAY_MS, type Found } from './step.ts';

/** What decides whether a change or limit concerns a mailbox. */
export interface Usage {
  readonly address: string;
  readonly preset: string;
  readonly flow: Flow;
  readonly protocols: readonly Protocol[];
  /** Names of its mail servers. */
  readonly hosts: readonly string[];
}

/** What is farther off than this is not worth a line yet. */
const AHEAD_MS = 400 * DAY_MS;
/** A change that is in force keeps being told this long. */
const PAST_MS = 400 * DAY_MS;

export function limitsFor({ limits }: Catalogue, usage: Pick<Usage, 'preset' | 'protocols'>): readonly ProviderLimit[] {
  return limits.filter(
    ({ presets, protocols }) =>
      presets.includes(usage.preset) && protocols.some((protocol) => usage.protocols.includes(protocol)),
  );
}

/** Changes that concern this mailbox, near enough in time. */
export function changesFor({ calendar }: Catalogue, usage: Usage, now: number): readonly ProviderChange[] {
  return calendar.filter(({ affects, date, until }) => {
    if (!affects?.presets.includes(usage.preset)) return false;
    if (Date.parse(date) - now > AHEAD_MS || now - Date.parse(until ?? date) > PAST_MS) return false;
    if (affects.protocols && !affects.protocols.some((protocol) => usage.protocols.includes(protocol))) return false;
    if (affects.flows && !affects.flows.includes(usage.flow)) return false;
    const hosts = affects.hosts === undefined ? undefined : new RegExp(affects.hosts, 'i');
    return hosts === undefined || usage.hosts.some((host) => hosts.test(host));
  });
}

export function describeLimits(data: Catalogue, usage: Usage): Found {
  const limits = limitsFor(data, usage);
  return {
    says: limits.length === 0 ? 'none known' : `${limits.length} known`,
    notes: limits.map(({ what }) => what),
    facts: { limits: limits.map(({ id, what, value, unit, per }) => ({ id, what, value, unit, per })) },
  };
}

export function describeChanges(data: Catalogue, usage: Usage, now: number): Found {
  const changes = changesFor(data, usage, now);
  const facts = { changes: changes.map(({ id, date, what, effect, level }) => ({ id, date, what, effect, level })) };
  const urgent = changes.find(({ level }) => level === 'warning');
  const says = changes.length === 0 ? 'none known that concern this mailbox' : `${changes.length} concern this mailbox`;
  const notes = changes.map(({ date, what, effect }) => `${date}: ${what}; ${effect}`);
  if (!urgent) return { says, notes, facts };
  return {
    says,
    notes,
    facts,
    warning: {
      id: urgent.id,
      cause: `${urgent.date}: ${urgent.what}; ${urgent.effect}`,
      blame: 'operator',
      remedy: fillSteps(urgent.remedy, { address: usage.address }),
      sources: urgent.sources.map((tag) => data.sources[tag] ?? tag),
    },
  };
}
