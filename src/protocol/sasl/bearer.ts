/** What XOAUTH2 and OAUTHBEARER share: key-value pairs ended by %x01, and the JSON failure report (RFC 7628 §3.1, §3.2.2). */
import { Secret } from '../../base/secret.ts';
import { protocolError } from '../errors.ts';
import type { BearerFailure } from './mechanism.ts';

/** The end of the message is an empty pair. @throws sasl.malformed */
export function readPairs(text: string): ReadonlyMap<string, string> {
  if (!text.endsWith('\x01\x01')) throw protocolError('sasl.malformed', 'the bearer message does not end as it must');
  const pairs = new Map<string, string>();
  for (const pair of text.slice(0, -2).split('\x01')) {
    const at = pair.indexOf('=');
    const key = pair.slice(0, Math.max(at, 0)).toLowerCase();
    // RFC 7628 §3.1: a key is letters; the same one twice could be read in two ways.
    if (!/^[a-z]+$/.test(key) || pairs.has(key))
      throw protocolError('sasl.malformed', 'the bearer message has a broken part');
    pairs.set(key, pair.slice(at + 1));
  }
  return pairs;
}

/** The token of an `auth=Bearer …` pair; the scheme's case does not matter (RFC 6750 §2.1, RFC 7235 §2.1). @throws sasl.malformed */
export function bearerToken(pairs: ReadonlyMap<string, string>): Secret {
  const match = /^bearer +([^\s]*)$/i.exec(pairs.get('auth') ?? '');
  if (!match) throw protocolError('sasl.malformed', 'the bearer message holds no bearer token');
  return Secret.offered(match[1]!);
}

/** Reads a server's failure report; whatever it is, its text is kept. */
export function readFailure(challenge: Buffer): BearerFailure {
  const text = challenge.toString('utf8').slice(0, 4096);
  let report: Readonly<Record<string, unknown>> = {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) report = value as Readonly<Record<string, unknown>>;
  } catch {
    // Not JSON: then the text alone is the report.
    report = {};
  }
  const word = (name: string): string | undefined => {
    const value = report[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  };
  const scope = word('scope');
  const schemes = word('schemes');
  const openidConfiguration = word('openid-configuration');
  return {
    status: word('status') ?? 'unknown',
    ...(scope === undefined ? {} : { scope }),
    ...(schemes === undefined ? {} : { schemes }),
    ...(openidConfiguration === undefined ? {} : { openidConfiguration }),
    text,
  };
}
