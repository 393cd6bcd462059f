/** Reading option values: protocols, durations, endpoints. Every refusal says what would be right. */
import { isIP } from 'node:net';
import { readFlow } from '../oauth/flows.ts';
import { InvalidArgumentError } from 'commander';
import { cliError } from './errors.ts';
import { PROTOCOLS, type Protocol } from '../store/protocols.ts';

/** `imap,smtp`. */
export function protocols(text: string): readonly Protocol[] {
  const names = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((name) => name !== '');
  const found = PROTOCOLS.filter((protocol) => names.includes(protocol));
  if (found.length === 0 || found.length !== new Set(names).size)
    throw new InvalidArgumentError('name imap, pop3, smtp, separated by commas.');
  return found;
}

/** An address in the one form it is kept in. @throws cli.usage */
export function mailAddress(text: string): string {
  const address = text.trim().toLowerCase();
  if (/^[^\s@]+@[^\s@]+$/.test(address)) return address;
  throw cliError('cli.usage', `${JSON.stringify(text)} is not a mail address`, { hint: 'write it as name@domain' });
}

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `90d`, `12h`, `30m`, `2w` as milliseconds. */
export function duration(text: string): number {
  const match = /^(\d{1,6})([mhdw])$/.exec(text);
  if (!match) throw new InvalidArgumentError('give a number and a unit: 30m, 12h, 90d or 2w.');
  return Number(match[1]) * UNITS[match[2]!]!;
}

/** A {@link duration} that something lives for. */
export function lifetime(text: string): number {
  const ms = duration(text);
  if (ms === 0) throw new InvalidArgumentError('it would have ended at once; give at least 1m.');
  return ms;
}

/** A numeric address. */
export function ipAddress(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('give a numeric network address, such as 192.168.1.40.');
  return text;
}

/** A name or numeric address of a machine: letters, digits, hyphens and dots (RFC 1123 §2.1), or what IP addresses are written with. */
export function hostName(text: string): string {
  const name = text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(name) !== 0) return name;
  if (text.length <= 253 && text.split('.').every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/.test(label)))
    return text;
  throw new InvalidArgumentError('give the name or the address of a machine, for example mail.example.com.');
}

/** Of what is still to come: `2027-05-31` (its end, UTC) or a time from now like `180d`, as milliseconds since the epoch. */
export function moment(text: string): number {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return Date.now() + duration(text);
  const at = Date.parse(`${text}T23:59:59Z`);
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 10) !== text)
    throw new InvalidArgumentError('there is no such day.');
  if (at < Date.now()) throw new InvalidArgumentError('that day has passed; give the day on which it will end.');
  return at;
}

const DAY_MS = 86_400_000;

/** A moment that has been, for lists: `2026-11-21`, `2026-11-21T09:30`, `24h` (ago), `yesterday`, `today`; UTC. */
export function since(text: string): number {
  return span(text)[0];
}

/** The end of what {@link since} names: of a day its last moment. */
export function until(text: string): number {
  return span(text)[1];
}

function span(text: string): readonly [number, number] {
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  if (text === 'today') return [today, today + DAY_MS];
  if (text === 'yesterday') return [today - DAY_MS, today];
  if (/^\d{1,6}[mhdw]$/.test(text)) {
    const at = Date.now() - duration(text);
    return [at, at];
  }
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text);
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)?$/.test(text);
  const at = isDay || isTime ? Date.parse(/Z|[+-]\d\d:\d\d$/.test(text) || isDay ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(at) || (isDay && new Date(at).toISOString().slice(0, 10) !== text))
    throw new InvalidArgumentError(
      'give a day (2026-11-21), a time (2026-11-21T09:30), yesterday, today, or how long ago (24h).',
    );
  return [at, isDay ? at + DAY_MS : at];
}

export function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('give a whole number.');
  return Number(text);
}

/** A whole number within bounds. */
export function between(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= least && number <= most) return number;
    throw new InvalidArgumentError(`give a whole number from ${least} to ${most}.`);
  };
}

/** Collects a repeatable option. Nothing is no value: a variable that is not set must not mean that there is no restriction. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) throw new InvalidArgumentError('it is empty; give a value, or leave the option out.');
  return [...before, ...parts];
}

/** What `--mailbox` and `--all` say together; one of them has to be given. @throws cli.usage */
export function mailboxesOf(
  { mailbox, all }: { readonly mailbox?: readonly string[]; readonly all?: boolean },
  ask: string,
): readonly string[] {
  if ((mailbox === undefined) === (all === true)) return mailbox ?? ['*'];
  throw cliError('cli.usage', ask, { hint: 'give --mailbox ADDRESS (repeatable) or --all' });
}

/** `host:port/implicit` or `host:port/starttls`. */
export function mailServer(text: string): {
  readonly host: string;
  readonly port: number;
  readonly tls: 'implicit' | 'starttls';
} {
  const match = /^\[?([^\]/]+?)\]?:(\d{1,5})\/(implicit|tls|starttls)$/.exec(text);
  if (!match)
    throw new InvalidArgumentError(
      'write HOST:PORT/implicit (or /tls, which means the same) or HOST:PORT/starttls, for example mail.example.com:993/implicit.',
    );
  return { host: match[1]!, port: Number(match[2]), tls: match[3] === 'starttls' ? 'starttls' : 'implicit' };
}

/** How a person consents, in short or by the flow's full name. @throws oauth.flow-refused (implicit, password, unknown) */
export function way(text: string): string {
  if (!['browser', 'paste', 'device', 'app-only'].includes(text)) readFlow(text);
  return text;
}
