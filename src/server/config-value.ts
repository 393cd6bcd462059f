/** Values that several parts of the configuration have. */
import { isIP } from 'node:net';
import { networkOf } from '../access/network.ts';
import { z } from 'zod';

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
/** Not an address that anybody connects to. */
export const isEveryInterface = (host: string): boolean => host === '0.0.0.0' || host === '::';
export const port = z.int().min(0).max(65535);
/** A week: nothing here waits longer for somebody, and the system's timers end at 2^31 milliseconds. */
export const MAX_DURATION_MS = 604_800_000;
export const milliseconds = z.int().min(1000).max(MAX_DURATION_MS);
/** As {@link milliseconds}, where 0 means not at all. */
export const millisecondsOrNone = z.int().min(0).max(MAX_DURATION_MS);

/**
 * What a refinement means, in words of JSON Schema (draft 2020-12), for editors and whoever checks a file with the published schema.
 * It may take more than Postern does where JSON Schema cannot say it, never less.
 */
const V4 = String.raw`\d{1,3}(?:\.\d{1,3}){3}`;
const V6 = String.raw`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[^\s/]+)?`;
const LABELS = String.raw`[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63})*\.?`;
const LOOPBACK = String.raw`^(?:localhost|::1|127(?:\.\d{1,3}){3})$`;

/** In JSON Schema: `holds` is wanted where the group's host is not loopback. */
export function beyondLoopback(
  when: Readonly<Record<string, object>>,
  holds: object | boolean,
): Record<string, unknown> {
  const host = { not: { pattern: LOOPBACK } };
  const applies = { properties: { host, ...when }, required: ['host', ...Object.keys(when)] };
  return { allOf: [{ anyOf: [{ not: applies }, holds] }] };
}

export const network = z
  .string()
  .refine((text) => typeof networkOf(text) === 'string', { error: ({ input }) => networkWords(String(input)) })
  .meta({ pattern: `^(?:${V4}(?:/\\d{1,2})?|${V6}(?:/\\d{1,3})?)$` });
/** A network that is not every address. @param message what to say of one that is */
export const someNetwork = (message: string): z.ZodType<string> =>
  network
    .refine((text) => !text.endsWith('/0'), message)
    .meta({ pattern: `^(?:${V4}(?:/[1-9]\\d?)?|${V6}(?:/[1-9]\\d{0,2})?)$` });
/** https everywhere, or http to this machine. */
export const webAddress = z
  .url({ protocol: /^https?$/ })
  .refine(
    (text) =>
      /^https:/i.test(text) || !URL.canParse(text) || isLoopback(new URL(text).hostname.replace(/^\[(.*)\]$/, '$1')),
    'it is not this machine, so it has to be https',
  )
  .meta({
    pattern: String.raw`^(?:[hH][tT][tT][pP][sS]:|[hH][tT][tT][pP]://(?:[^/?#@]*@)?(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?:[:/?#]|$))`,
  });
/** What paths and queries of ours are put behind. */
export const baseAddress = z
  .url({ protocol: /^https$/ })
  .refine(
    (text) => !/[?#@\\]/.test(text),
    'leave out what begins with ? or #, and the user name: paths are put behind it',
  )
  .meta({ pattern: String.raw`^[hH][tT][tT][pP][sS]:[^?#@\\]*$` });
export const httpsAddress = z.url({ protocol: /^https$/ }).meta({ pattern: '^[hH][tT][tT][pP][sS]:' });
/** One address, as a mailbox has it. */
export const mailAddress = z
  .string()
  .regex(/^(?!\*@)[^\s@]+@[^\s@]+$/, 'write it as name@domain; *@domain names nobody');
export const networks = z.array(network).default([]);

function networkWords(text: string): string {
  const read = networkOf(text);
  const hint = typeof read === 'string' ? undefined : read.hint;
  return hint ?? 'write it as address/length, for example 10.0.0.0/8';
}

/** Where to listen: names other than localhost could mean several addresses, or another tomorrow. */
export const listenAddress = z
  .string()
  .min(1)
  .refine(
    (text) => text === 'localhost' || isIP(text) !== 0,
    'write a numeric address of this machine, localhost, or 0.0.0.0 or :: for every interface',
  )
  .meta({ pattern: `^(?:localhost|${V4}|${V6})$` });

/** RFC 1123 §2.1, or a numeric address. */
export const hostName = z
  .string()
  .min(1)
  .max(253)
  .refine(
    (text) => isIP(text) !== 0 || /^[a-z0-9](?:[a-z0-9-]{0,62})(?:\.[a-z0-9-]{1,63})*\.?$/i.test(text),
    'write a host name such as mail.example.com: letters, digits, hyphens and dots',
  )
  .meta({ pattern: `^(?:${LABELS}|${V6})$` });

/** Networks that are let in: all of them would be no limit. */
export const privateNetworks = z
  .array(someNetwork('this is every address; name the networks that are meant'))
  .default([]);
