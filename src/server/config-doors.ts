/** Every port that the configuration opens, and which two of them cannot both be had: a conflict of its own is no other program's. */
import type { z } from 'zod';
import { clash } from '../base/listen-failure.ts';

/** What is opened, and where it stands in postern.yaml. */
export interface Door {
  readonly path: readonly (string | number)[];
  readonly what: string;
  readonly host: string;
  readonly port: number;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Doors {
  readonly listeners: readonly (Address & { readonly protocol: string })[];
  readonly console: Address;
  readonly outbox: { readonly devices?: Address | undefined };
}

export function doorsOf({ listeners, console, outbox: { devices } }: Doors): readonly Door[] {
  return [
    ...listeners.map((one, at) => ({ ...one, what: one.protocol, path: ['listeners', at] })),
    { ...console, what: 'the console', path: ['console'] },
    ...(devices === undefined ? [] : [{ ...devices, what: 'devices', path: ['outbox', 'devices'] }]),
  ];
}

/** Of an issue: the path of the other place it is about. */
export function otherPlaceOf(issue: z.core.$ZodIssue): readonly (string | number)[] | undefined {
  return issue.code === 'custom' ? (issue.params?.['otherPlace'] as Door['path'] | undefined) : undefined;
}

/** A refinement of the whole configuration. The same entry twice is refused with port 0 too, as JSON Schema’s uniqueItems does. */
export function refuseClashes(config: Doors, context: z.core.$RefinementCtx): void {
  const doors = doorsOf(config);
  const entries = config.listeners.map((one) => JSON.stringify(one));
  for (const [at, door] of doors.entries()) {
    const twice = at < entries.length ? entries.indexOf(entries[at] ?? '') : at;
    const first = twice < at ? doors[twice] : doors.slice(0, at).find((one) => clash(one, door) === 'sure');
    if (!first) continue;
    context.addIssue({
      code: 'custom',
      path: at < entries.length ? [...door.path] : [...door.path, 'port'],
      message:
        twice < at
          ? `the listener for ${door.what} on ${door.host} port ${door.port} is in the list twice; remove one`
          : `${door.what} on ${door.host} port ${door.port} cannot be opened beside ${first.what} on ${first.host} port ${first.port}; give one of them another address or port`,
      params: { otherPlace: first.path },
    });
    return;
  }
}
