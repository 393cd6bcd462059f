/** One protocol of one mailbox, from the server's name to the first command after sign-in. `mailbox test` is this too. */
import { asError, isError } from '../base/error.ts';
import type { AccessToken, MailEndpoint } from '../oauth/types.ts';
import type { BearerSignedIn } from '../protocol/bearer-sign-in.ts';
import type { Conn } from '../protocol/wire/conn.ts';
import type { Mailbox } from '../store/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { signInWithToken } from '../upstream/sign-in.ts';
import { lookInside, tryEnvelope } from './first-command.ts';
import { describeKnown, lookAtNewest, oddity } from './newest-message.ts';
import { otherDoor, PROTOCOL_NAMES } from './other-door.ts';
import { reach, resolveName } from './reach.ts';
import type { Found, Steps } from './step.ts';
import { describeTls } from './tls-facts.ts';
import type { CheckDeps, CheckOptions, Finding } from './types.ts';
import { timeLimit } from '../protocol/wire/time-limit.ts';

/** A person waits for this; Exchange may take half a minute. */
export const TIMEOUT_MS = 45_000;
const SLOW_MS = 10_000;
const QUIT: Readonly<Record<Protocol, string>> = { imap: 'c9 LOGOUT\r\n', pop3: 'QUIT\r\n', smtp: 'QUIT\r\n' };

export interface ProtocolCheck {
  readonly deps: CheckDeps;
  readonly mailbox: Mailbox;
  readonly protocol: Protocol;
  readonly steps: Steps;
  /** Undefined when no token was to be had: the server is looked at all the same. */
  readonly token: AccessToken | undefined;
  readonly options: CheckOptions;
}

/** The findings, in order. Never throws but the abort. */
export async function* checkProtocol(check: ProtocolCheck): AsyncGenerator<Finding, void, void> {
  const { deps, mailbox, protocol, steps } = check;
  const name = PROTOCOL_NAMES[protocol];
  const id = (step: string): string => `${protocol}.${step}`;
  const endpoint = await deps.tokens.endpoint(mailbox, protocol).catch(asError);
  if (isError(endpoint)) {
    yield steps.failed(id('server'), `${name} server`, endpoint);
    return;
  }
  const { host, port } = endpoint;
  const dns = await steps.run(id('dns'), `${name} server name`, () => resolveName(host));
  yield dns;
  if (dns.outcome === 'failed') return;

  const { signal: stop, timeoutMs = TIMEOUT_MS } = check.options;
  const reached = await reach(endpoint, { timeoutMs, signal: stop }, () => deps.clock.now());
  const tcp = `${name} connection`;
  if (reached.type === 'no-tcp') {
    yield steps.failed(id('tcp'), tcp, reached.error);
    return;
  }
  const open = reached.type === 'open' ? ` in ${reached.milliseconds} ms` : '';
  yield await steps.run(id('tcp'), tcp, () => ({ says: `${host}:${port} answers${open}`, facts: { host, port } }));
  if (reached.type === 'no-tls') {
    yield steps.failed(id('tls'), `${name} TLS`, (await otherDoor(reached.error, endpoint, stop)) ?? reached.error);
    return;
  }
  using limit = timeLimit(host, timeoutMs, stop);
  try {
    yield* withConnection(check, endpoint, reached.conn, limit.signal);
  } finally {
    reached.conn.end(QUIT[protocol]);
  }
}

async function* withConnection(
  { deps, protocol, steps, token, options }: ProtocolCheck,
  endpoint: MailEndpoint,
  conn: Conn,
  signal: AbortSignal,
): AsyncGenerator<Finding, void, void> {
  const name = PROTOCOL_NAMES[protocol];
  const { host } = endpoint;
  const id = (step: string): string => `${protocol}.${step}`;
  const tls = (): Promise<Finding> =>
    steps.run(id('tls'), `${name} TLS`, () => describeTls(conn.socket, host, deps.clock.now()));
  if (token === undefined) {
    if (endpoint.tls === 'implicit') yield await tls();
    yield steps.skipped(id('sign-in'), `${name} sign-in`, 'not tried: there is no token');
    return;
  }
  const startedAt = deps.clock.now();
  const limits = { timeoutMs: TIMEOUT_MS, signal };
  const signedIn = await signInWithToken(conn, endpoint, token.value, limits).catch(asError);
  const milliseconds = deps.clock.now() - startedAt;
  // With STARTTLS the handshake is part of the sign-in.
  // Looked at before anything else is: a server that refused is about to close, and a closed connection shows nothing.
  const secured = conn.encrypted && !conn.socket.destroyed ? await tls() : undefined;
  const wrong = isError(signedIn) ? await otherDoor(signedIn, endpoint, options.signal) : undefined;
  if (wrong) {
    yield { ...steps.failed(id('server'), `${name} server`, wrong), milliseconds };
    return;
  }
  if (isError(signedIn) && signedIn.code.startsWith('tls.')) {
    yield steps.failed(id('tls'), `${name} TLS`, signedIn);
    return;
  }
  if (secured) yield secured;
  const title = `${name} sign-in`;
  if (isError(signedIn)) {
    yield { ...steps.failed(id('sign-in'), title, signedIn), milliseconds };
    return;
  }
  yield {
    ...(await steps.run(id('sign-in'), title, () => describeSignIn(signedIn, endpoint, milliseconds, options))),
    milliseconds,
  };

  const session = { conn, host, signal };
  if (protocol === 'smtp') {
    yield await steps.run(id('sender'), `${name} permission to send`, () => tryEnvelope(session, endpoint.user));
    return;
  }
  const inside = await steps.run(id('command'), `${name} first command`, () => lookInside(protocol, session));
  yield inside;
  if (protocol === 'imap' && inside.outcome === 'ok' && Number(inside.facts['messages'] ?? 0) > 0)
    yield await steps.run(id('message'), `${name} newest message`, () =>
      lookAtNewest(session, options.fetch === true, { host }),
    );
}

function describeSignIn(
  { mechanism, capabilities }: BearerSignedIn,
  { user, host }: MailEndpoint,
  milliseconds: number,
  { slowMs = SLOW_MS }: CheckOptions,
): Found {
  const facts = { mechanism, user, capabilities };
  if (milliseconds > slowMs) return { ...oddity('network.slow', { host }, facts), says: `took ${milliseconds} ms` };
  const rev2 = capabilities.some((name) => name.toUpperCase() === 'IMAP4REV2');
  const note = rev2 ? describeKnown('imap.rev2') : undefined;
  return {
    says: `${mechanism} as ${user}, ${milliseconds} ms`,
    facts,
    ...(note === undefined ? {} : { notes: [note] }),
  };
}
