/**
 * What really listens where a sign-in failed before it began: another TLS mode or another protocol than the settings say is the
 * usual reason, and looks like a server in trouble. Only looked for after a failure; nothing is sent but a TLS handshake.
 */
import { shellWord } from '../base/shell.ts';
import { systemClock } from '../base/clock.ts';
import type { PosternError } from '../base/error.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { connectTo } from '../upstream/sign-in.ts';
import { checkError } from './errors.ts';

export const PROTOCOL_NAMES: Readonly<Record<Protocol, string>> = { imap: 'IMAP', pop3: 'POP3', smtp: 'SMTP' };
const MODES = { implicit: 'TLS from the first byte', starttls: 'STARTTLS' } as const;
/** RFC 8314 §3.2, §3.3; SMTP as providers of OAuth have it. */
const USUAL: Readonly<Record<Protocol, string>> = { imap: '993/implicit', pop3: '995/implicit', smtp: '587/starttls' };
/** A server says who it is at once; some wait a few seconds to see who talks first. */
const GREETING_MS = 8000;
const GREETING_OCTETS = 4096;

interface Door {
  readonly tls: MailEndpoint['tls'];
  readonly protocol: Protocol;
}

/**
 * @param error the failure
 * @returns what is wrong with the setting, undefined where it is right or nothing can be told
 */
export async function otherDoor(
  error: PosternError,
  endpoint: MailEndpoint,
  signal?: AbortSignal,
): Promise<PosternError | undefined> {
  if (!DOUBTFUL.test(error.code)) return undefined;
  const tries = endpoint.tls === 'implicit' ? (['starttls', 'implicit'] as const) : (['implicit', 'starttls'] as const);
  for (const tls of tries) {
    const protocol = await greetingOf(endpoint, tls, signal);
    if (protocol !== undefined) return judge(endpoint, { tls, protocol });
  }
  return undefined;
}

/** What a wrong mode or protocol looks like. Certificates that are not trusted are a matter of their own. */
const DOUBTFUL = /^(?:tls\.(?:failed|stripped)|wire\.(?:closed|timeout|syntax|line-too-long))$/;

function judge(endpoint: MailEndpoint, { tls, protocol }: Door): PosternError | undefined {
  const { host, port } = endpoint;
  const wanted = endpoint.protocol;
  if (protocol === wanted && tls === endpoint.tls) return undefined;
  const where = `${host}:${port}`;
  const right = protocol === wanted ? `${where}/${tls}` : `${host}:${USUAL[wanted]}`;
  const hint = `correct port and TLS mode; the consents stay: postern application set {application} --${shellWord(wanted)} ${shellWord(right)}`;
  return checkError(
    'check.endpoint',
    protocol === wanted
      ? `${where} speaks ${PROTOCOL_NAMES[wanted]} with ${MODES[tls]}, and the settings say ${MODES[endpoint.tls]}`
      : `${where} is a port for ${PROTOCOL_NAMES[protocol]}, and the settings say ${PROTOCOL_NAMES[wanted]}`,
    // Not the failure as its cause: the catalogue would explain that one instead.
    { detail: { host, port, protocol, tls }, hint },
  );
}

/** The protocol of a server's greeting (RFC 9051 §7.1, RFC 1939 §4, RFC 5321 §4.2). */
async function greetingOf(
  endpoint: MailEndpoint,
  tls: Door['tls'],
  signal?: AbortSignal,
): Promise<Protocol | undefined> {
  const limit = new AbortController();
  const timer = systemClock.after(GREETING_MS, () => limit.abort(new Error('no greeting')));
  const stop = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
  try {
    const conn = await connectTo({ ...endpoint, tls }, { timeoutMs: GREETING_MS, signal: stop });
    try {
      const line = (await conn.line(GREETING_OCTETS, stop))?.toString('latin1') ?? '';
      if (/^\* (?:OK|PREAUTH|BYE)\b/i.test(line)) return 'imap';
      if (/^(?:\+OK|-ERR)/i.test(line)) return 'pop3';
      return /^[245]\d\d[ -]/.test(line) ? 'smtp' : undefined;
    } finally {
      conn.end('');
    }
  } catch {
    // Nothing can be told: the first failure stands.
    signal?.throwIfAborted();
    return undefined;
  } finally {
    timer.cancel();
  }
}
