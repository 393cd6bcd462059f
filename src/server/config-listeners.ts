/** The part of the configuration about the gateway's ports: a list of its own in postern.yaml replaces the default one. */
import { z } from 'zod';
import { beyondLoopback, isLoopback, listenAddress, port } from './config-value.ts';

const listener = z
  .strictObject({
    protocol: z.enum(['imap', 'pop3', 'smtp']).describe('what is spoken'),
    tls: z
      .enum(['none', 'starttls', 'implicit'])
      .describe(
        'none: plain text with STARTTLS offered, loopback only; starttls: sign-in only after STARTTLS; implicit: TLS from the first byte',
      ),
    host: listenAddress
      .default('127.0.0.1')
      .describe('numeric address or localhost; 0.0.0.0 or :: for every interface'),
    port: port.describe('0 picks a free port'),
    oauth: z
      .boolean()
      .optional()
      .describe(
        'offer XOAUTH2 and OAUTHBEARER too, with the app password as token; off by default, because some programs prefer them and then ask for a token they do not have',
      ),
  })
  .refine(({ host, tls }) => tls !== 'none' || isLoopback(host), {
    path: ['tls'],
    message:
      'passwords would cross the network in plain text; set tls: starttls or tls: implicit for this listener, or host: 127.0.0.1',
  })
  .meta(beyondLoopback({ tls: { const: 'none' } }, false))
  .describe('one port the gateway listens on');

export type ListenerEntry = z.infer<typeof listener>;

export const DEFAULT_LISTENERS: readonly ListenerEntry[] = [
  { protocol: 'imap', tls: 'none', host: '127.0.0.1', port: 1143 },
  { protocol: 'imap', tls: 'implicit', host: '127.0.0.1', port: 1993 },
  { protocol: 'pop3', tls: 'none', host: '127.0.0.1', port: 1110 },
  { protocol: 'pop3', tls: 'implicit', host: '127.0.0.1', port: 1995 },
  { protocol: 'smtp', tls: 'none', host: '127.0.0.1', port: 1587 },
  { protocol: 'smtp', tls: 'implicit', host: '127.0.0.1', port: 1465 },
];

export const listenersSchema = z
  .array(listener)
  .meta({ uniqueItems: true })
  .default([...DEFAULT_LISTENERS])
  .describe(
    'ports of the gateway, the whole list: one that is given replaces the default, which is all three protocols on loopback, plain with STARTTLS and with TLS',
  );

/** Default listeners that a list of its own leaves out: programs set up for their ports find nobody there. */
export function leftOut(listeners: readonly ListenerEntry[]): readonly ListenerEntry[] {
  return DEFAULT_LISTENERS.filter(
    ({ protocol, tls, port: wanted }) =>
      !listeners.some((one) => one.protocol === protocol && one.tls === tls && one.port === wanted),
  );
}

/** The same in words; undefined where nothing is left out. */
export function leftOutText(listeners: readonly ListenerEntry[]): string | undefined {
  const missing = leftOut(listeners).map(({ protocol, host, port: at }) => `${protocol} ${host}:${at}`);
  if (missing.length === 0) return undefined;
  return `listeners: in postern.yaml replaces the default list; of that these are not open: ${missing.join(', ')}`;
}

/** A list as it can be written to postern.yaml. */
export function listenersYaml(listeners: readonly ListenerEntry[]): readonly string[] {
  const entries = listeners.map(({ protocol, tls, host, port: at, oauth }) => {
    const more = oauth === undefined ? '' : `, oauth: ${oauth}`;
    // An IPv6 address has colons, which YAML takes for keys.
    return `  - { protocol: ${protocol}, tls: ${tls}, host: ${host.includes(':') ? `'${host}'` : host}, port: ${at}${more} }`;
  });
  return ['listeners:', ...entries];
}
