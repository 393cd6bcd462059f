/** Why a port could not be opened, in the same words for every listener: gateway, devices, console, the answer of a sign-in, sandbox. */
import { shellWord } from './shell.ts';

export interface Listening {
  /** As configured. */
  readonly host: string;
  readonly port: number;
  /** What it was for: `smtp`, `the console`. */
  readonly what: string;
}

export interface ListenFailure {
  /** Somebody listens there already. */
  readonly taken: boolean;
  /** One clause, with nothing of {@link Listening} in it but what it is about. */
  readonly why: string;
  /** What to do; undefined where the system gave a reason that nobody expects. */
  readonly hint: string | undefined;
}

/**
 * Whether two listeners cannot both be opened. `perhaps`: that depends on what `localhost` is here. `::` takes IPv4 too, unless
 * the system has none (ipv6(7)), and every interface has each address.
 */
export function clash(one: Omit<Listening, 'what'>, other: Omit<Listening, 'what'>): 'sure' | 'perhaps' | 'no' {
  if (one.port !== other.port || one.port === 0) return 'no';
  const hosts = [one.host, other.host];
  if (one.host === other.host || hosts.includes('::')) return 'sure';
  if (hosts.includes('localhost'))
    return hosts.some((host) => ['127.0.0.1', '::1', '0.0.0.0'].includes(host)) ? 'perhaps' : 'no';
  return hosts.includes('0.0.0.0') && hosts.every((host) => !host.includes(':')) ? 'sure' : 'no';
}

/** Ports that mail servers have by their standards. */
const MAIL: ReadonlySet<number> = new Set([25, 110, 143, 465, 587, 993, 995]);

/** @param own listeners of this process: what one of them holds is nobody else’s */
export function listenFailure(error: unknown, to: Listening, own: readonly Listening[] = []): ListenFailure {
  const { code, message } = error as NodeJS.ErrnoException;
  const { host, port } = to;
  switch (code) {
    case 'EADDRINUSE': {
      const holder = own.find((one) => clash(one, to) !== 'no');
      if (holder)
        return {
          taken: true,
          why: `this Postern itself listens there already, for ${holder.what} on ${holder.host} port ${holder.port}`,
          hint: 'give each listener in postern.yaml an address or a port of its own',
        };
      return {
        taken: true,
        why: `${MAIL.has(port) ? 'a mail server such as Dovecot or Postfix' : 'another Postern or another program'} has the port`,
        hint: `see who with \`ss -ltnp 'sport = :${port}'\`, then stop that program or choose another port (0 picks a free one)`,
      };
    }
    case 'EACCES':
    case 'EPERM':
      return {
        taken: false,
        why: `this user may not open port ${port}`,
        hint: 'ports below 1024 need the CAP_NET_BIND_SERVICE capability, which `postern service install --system` gives; or choose a port above 1023',
      };
    case 'EADDRNOTAVAIL':
      return {
        taken: false,
        why: 'this machine does not have the address',
        hint: `see which it has: ip -brief address; then correct ${shellWord(host)} in postern.yaml, or write 0.0.0.0 for every interface`,
      };
    case 'EAFNOSUPPORT':
      return {
        taken: false,
        why: `this machine has no ${host.includes(':') ? 'IPv6' : 'IPv4'}`,
        hint: `name another address instead of ${shellWord(host)} in postern.yaml`,
      };
    default:
      return { taken: false, why: message, hint: undefined };
  }
}
