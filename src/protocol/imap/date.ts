/** Dates of IMAP: `date` in SEARCH and `date-time` of INTERNALDATE (RFC 3501 §9). */
import { protocolError } from '../errors.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DATE = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/;
const DATE_TIME = /^([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/;

/** Midnight UTC of that day, in milliseconds since the epoch. @throws wire.syntax */
export function parseDate(text: string): number {
  const [, day, month, year] = DATE.exec(text) ?? [];
  return utcDay(day, month, year);
}

/** A `date`, in UTC. */
export function formatDate(time: number): string {
  const date = new Date(time);
  return `${date.getUTCDate()}-${MONTHS[date.getUTCMonth()]!}-${String(date.getUTCFullYear()).padStart(4, '0')}`;
}

/** Milliseconds since the epoch. @throws wire.syntax */
export function parseDateTime(text: string): number {
  const [, day, month, year, hour, minute, second, sign, zoneHours, zoneMinutes] = DATE_TIME.exec(text) ?? [];
  const midnight = utcDay(day, month, year);
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) throw malformed();
  const zone = (Number(zoneHours) * 60 + Number(zoneMinutes)) * (sign === '-' ? -1 : 1);
  return midnight + ((Number(hour) * 60 + Number(minute) - zone) * 60 + Number(second)) * 1000;
}

/** A `date-time` in UTC, without its quotes. */
export function formatDateTime(time: number): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${formatDate(time).padStart(11, '0')} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
}

function utcDay(day: string | undefined, month: string | undefined, year: string | undefined): number {
  const index = MONTHS.findIndex((name) => name.toLowerCase() === month?.toLowerCase());
  const time = Date.UTC(Number(year), index, Number(day));
  if (index === -1 || new Date(time).getUTCDate() !== Number(day)) throw malformed();
  return time;
}

function malformed(): Error {
  return protocolError('wire.syntax', 'a date is malformed');
}
