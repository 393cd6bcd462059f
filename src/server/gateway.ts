/** One process's gateway, composed: sign-in, tokens, audit, meter and certificate around the listeners. */
import { openSignIn } from '../access/sign-in.ts';
import { systemClock } from '../base/clock.ts';
import { defaultLimits, type Gateway, startGateway } from '../gateway/start.ts';
import type { GatewayLimits, ListenerConfig } from '../gateway/types.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import type { Protocol } from '../store/protocols.ts';
import type { CertificateInUse } from './certificate-in-use.ts';
import { makeRoom } from './heap.ts';
import type { Instance } from './instance.ts';
import type { Metrics } from './metrics.ts';
import { sentCopiesOf } from './sent-copies.ts';
import { goesToOutbox, submissionOf } from './outbox.ts';

export interface ComposedGateway {
  readonly gateway: Gateway;
  /** Lets sessions end, then closes everything but the instance. */
  drain(): Promise<void>;
}

/** @param maxConnections that fit, all listeners together @throws gateway.* */
export async function composeGateway(
  instance: Instance,
  listeners: readonly ListenerConfig[],
  certificate: CertificateInUse,
  metrics: Metrics,
  maxConnections = instance.config.limits.maxConnections,
): Promise<ComposedGateway> {
  const { store, vault, audit, clock, log, config, tokens } = instance;
  const signIn = await openSignIn({ store, vault, clock, log });
  try {
    const limits = { ...limitsOf(config.limits), ...(maxConnections === undefined ? {} : { maxConnections }) };
    const gateway = await startGateway(listeners, limits, {
      signIn,
      tokens,
      audit,
      log,
      clock,
      wall: systemClock,
      meter: {
        ...metrics.meter,
        connectionOpened(protocol) {
          makeRoom();
          metrics.meter.connectionOpened(protocol);
        },
      },
      certificate: {
        read: () => certificate.current,
        onChange: (callback) => certificate.onChange(callback),
      },
      endpoints: (protocol) => endpointsOf(instance, protocol),
      submission: submissionOf(instance),
      sentCopies: sentCopiesOf(instance),
      budget: instance.budget,
      ...(config.hostname === undefined ? {} : { hostname: config.hostname }),
    });
    return {
      gateway,
      async drain() {
        await gateway.drain();
        signIn.close();
      },
    };
  } catch (error) {
    signIn.close();
    throw error;
  }
}

/** The distinct endpoints of all mailboxes: what EHLO and CAPA may promise before anybody signed in. */
async function endpointsOf({ store, tokens, log }: Instance, protocol: Protocol): Promise<readonly MailEndpoint[]> {
  const found = new Map<string, MailEndpoint>();
  for (const mailbox of await store.mailboxes.list()) {
    if (!mailbox.protocols.includes(protocol) || (protocol === 'smtp' && goesToOutbox(mailbox))) continue;
    try {
      const endpoint = await tokens.endpoint(mailbox, protocol);
      found.set(`${endpoint.host}:${endpoint.port}`, endpoint);
    } catch (error) {
      // Said again, and to the person concerned, when this mailbox signs in.
      log.debug({ mailbox: mailbox.address, error }, 'a mailbox has no usable endpoint');
    }
  }
  return [...found.values()];
}

/** The limits that are set; of the times of silence those that are not set keep their default. */
export function limitsOf(limits: Instance['config']['limits']): Partial<GatewayLimits> {
  const { heldOctets: _, idleMs, ...gateway } = limits;
  const given = (of: object): object =>
    Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined));
  return { ...given(gateway), idleMs: { ...defaultLimits.idleMs, ...given(idleMs ?? {}) } };
}
