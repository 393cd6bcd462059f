/** What one session leaves behind: lines of the log and records of the audit, each with who it was. */
import type { SignInResult } from '../access/types.ts';
import { asError, type PosternError } from '../base/error.ts';
import type { Rarely } from '../base/rarely.ts';
import { shellWord } from '../base/shell.ts';
import type { Protocol } from '../store/protocols.ts';
import type { RelayedMessage } from './continuity/smtp-message.ts';
import { relayedFacts } from './mail-rules.ts';
import type { GatewayDeps } from './types.ts';
import { codeOf, REFUSAL_NEXT } from './verdict.ts';

export class SessionRecord {
  readonly #deps: GatewayDeps;
  readonly #sessionId: string;
  readonly #protocol: Protocol;
  readonly #remoteAddress: string;
  /** Whose session it is, once that is known. */
  appPasswordId: string | undefined;
  /** What people call that app password. */
  label: string | undefined;

  constructor(deps: GatewayDeps, sessionId: string, protocol: Protocol, remoteAddress: string) {
    this.#deps = deps;
    this.#sessionId = sessionId;
    this.#protocol = protocol;
    this.#remoteAddress = remoteAddress;
  }

  /** On every log line; the names are documented. */
  get facts() {
    return { sessionId: this.#sessionId, protocol: this.#protocol, remoteAddress: this.#remoteAddress };
  }

  /** Mail that was passed on while its program waited. */
  relayed(mailbox: string, message: RelayedMessage): void {
    this.note('message.relayed', message.taken ? 'ok' : 'failed', mailbox, relayedFacts(message));
  }

  note(
    type: 'signin.local' | 'signin.upstream' | 'session.moved' | 'message.relayed' | 'session.ended',
    outcome: 'ok' | 'failed',
    mailbox: string | undefined,
    data: Readonly<Record<string, unknown>>,
  ): void {
    this.#deps.audit.note({
      type,
      outcome,
      sessionId: this.#sessionId,
      ...(mailbox === undefined ? {} : { mailbox: mailbox.slice(0, 254) }),
      data: {
        protocol: this.#protocol,
        remoteAddress: this.#remoteAddress,
        ...(this.appPasswordId === undefined ? {} : { appPasswordId: this.appPasswordId }),
        ...data,
      },
    });
  }

  /** @param result why its user name or app password was refused, which the program is not told */
  refused(user: string, mechanism: string, result: Exclude<SignInResult, { type: 'accepted' }>): void {
    const reason = result.type === 'refused' ? result.reason : 'slow-down';
    const { id, label } = (result.type === 'refused' && result.appPassword) || {};
    const which = id === undefined ? {} : { appPasswordId: id, label };
    this.note('signin.local', 'failed', user, { mechanism, reason, ...which });
    const hint = REFUSAL_NEXT[reason].replace('ADDRESS', user.includes('@') ? shellWord(user) : 'ADDRESS');
    // These words and field names are documented for log watchers such as fail2ban, which want the reason last.
    this.#deps.log.warn({ ...this.facts, user, mechanism, ...which, hint, reason }, 'sign-in refused');
  }

  warn(failure: PosternError, mailbox: string, text: string): void {
    const facts = { ...this.facts, mailbox: mailbox.slice(0, 254), code: codeOf(failure), hint: failure.hint };
    if (failure.kind === 'bug') this.#deps.log.error({ ...facts, error: String(failure.cause) }, text);
    else this.#deps.log.warn(facts, `${text}: ${failure.message}`);
  }

  /** Something threw that must not. Its stack is what tells where. Never throws. */
  fault(error: unknown, mailbox: string | undefined): void {
    const failure = asError(error);
    const { code, hint } = failure;
    this.#deps.log.error(
      { ...this.facts, ...(mailbox === undefined ? {} : { mailbox }), code, hint, error: failure },
      'a defect ended this session; others go on',
    );
  }

  /** It was refused before sign-in because too much is held for others. */
  refusedForRoom(rarely: Rarely): void {
    this.#deps.meter.refusedByLimit('octets');
    const times = rarely.due('octets');
    if (times === undefined) return;
    this.#deps.log.warn(
      { ...this.facts, limit: 'octets', times },
      'connection refused: so much is held for peers that have not signed in that no more is taken',
    );
  }
}
