/** Connections that no device may have: sent away before anything is done for them, a TLS handshake included, and counted among none. */
import type { Socket } from 'node:net';
import type { Audit } from '../audit/types.ts';
import { clientOf } from '../base/client-of.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { Rarely } from '../base/rarely.ts';
import { newId } from '../store/id.ts';

/** Whoever connects again and again is written down this often. */
const SAID_EVERY_MS = 60_000;
/** What is said to them has arrived by then, on any line. */
const LINGER_MS = 2000;
/** More at once hear nothing: they hold a socket each for that long. */
const MAX_LINGERING = 10;

export interface DeviceRefusalDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly hostname: string;
  readonly audit?: Pick<Audit, 'note'>;
}

export class DeviceRefusals {
  readonly #deps: DeviceRefusalDeps;
  readonly #rarely: Rarely;
  readonly #lingering = new Map<Socket, Timer>();

  constructor(deps: DeviceRefusalDeps) {
    this.#deps = deps;
    this.#rarely = new Rarely(deps.clock, SAID_EVERY_MS);
  }

  /**
   * @param rule name of the rule that its address falls under, when there are too many connections already
   * @param plain it speaks plain text first, so that it can be told
   */
  turnAway(socket: Socket, rule: string | undefined, plain: boolean): void {
    const { clock, hostname } = this.#deps;
    socket.on('error', () => socket.destroy());
    this.#write(socket.remoteAddress ?? 'unknown', rule);
    if (!plain || this.#lingering.size >= MAX_LINGERING) {
      socket.destroy();
      return;
    }
    this.#lingering.set(
      socket,
      clock.after(LINGER_MS, () => socket.destroy()),
    );
    socket.once('close', () => {
      this.#lingering.get(socket)?.cancel();
      this.#lingering.delete(socket);
    });
    socket.resume();
    socket.end(
      rule === undefined
        ? `554 5.7.1 ${hostname} takes no mail from this address without a sign-in\r\n`
        : busyReply(hostname),
    );
  }

  close(): void {
    for (const socket of this.#lingering.keys()) socket.destroy();
  }

  #write(remoteAddress: string, rule: string | undefined): void {
    const times = this.#rarely.due(`${clientOf(remoteAddress)} ${rule}`);
    if (times === undefined) return;
    const why = rule === undefined ? 'no rule names it' : 'too many connections';
    const sessionId = newId('ses');
    const facts = { protocol: 'smtp', remoteAddress, ...(rule !== undefined && { rule }), times };
    const hint =
      rule === undefined
        ? 'if it is yours, name its network in a rule of outbox.devices in postern.yaml: postern explain devices'
        : 'it passes when it, or others of its rule, end their connections; look for one that never does';
    this.#deps.log.warn({ sessionId, ...facts, hint }, `a device was turned away: ${why}`);
    const data = { ...facts, source: 'device', reason: why };
    this.#deps.audit?.note({ type: 'session.ended', outcome: 'failed', sessionId, data });
  }
}

/** Instead of a greeting, for what passes. */
export function busyReply(hostname: string): string {
  return `421 4.3.0 ${hostname} cannot take mail from devices now\r\n`;
}
