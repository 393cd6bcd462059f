/** Autoconfig files (draft-ietf-mailmaint-autoconfig, as Thunderbird reads them): servers, kind of sign-in, OAuth. */
import type { MailServer } from '../../oauth/preset.ts';
import type { Protocol } from '../../store/protocols.ts';
import { discoverError } from './errors.ts';
import { presetOfIssuer, presetOfServer } from './known.ts';
import type { Candidate } from './types.ts';
import { child, childText, readXml, type XmlElement } from './xml.ts';

type File = Omit<Candidate, 'source' | 'evidence' | 'caution'>;

/**
 * Reads a file. Servers without encryption are left out, and within each protocol OAuth 2.0 comes before passwords and TLS
 * from the first byte before STARTTLS, otherwise the file's own order counts.
 * @throws discover.garbled
 */
export function readAutoconfig(text: string): File {
  const root = readXml(text);
  const provider = root.name === 'clientConfig' ? child(root, 'emailProvider') : undefined;
  if (!provider) throw discoverError('discover.garbled', 'this is no autoconfig file');
  const found = provider.children.flatMap((element) => serverOf(element) ?? []);
  const mail: Partial<Record<Protocol, MailServer>> = {};
  const chosen: Server[] = [];
  for (const protocol of ['imap', 'pop3', 'smtp'] as const) {
    const [best] = found.filter((one) => one.protocol === protocol).toSorted((a, b) => rank(a) - rank(b));
    if (!best) continue;
    mail[protocol] = best.server;
    chosen.push(best);
  }
  if (chosen.length === 0)
    throw discoverError('discover.garbled', 'the autoconfig file names no server with encryption');
  const oauth = child(root, 'oAuth2') ?? child(provider, 'oAuth2');
  const issuer = oauth === undefined ? undefined : childText(oauth, 'issuer');
  const scopes = (oauth === undefined ? undefined : childText(oauth, 'scope'))?.split(/\s+/);
  const preset =
    (issuer === undefined ? undefined : presetOfIssuer(issuer)) ??
    chosen.map(({ server }) => presetOfServer(server.host)).find((id) => id !== undefined);
  return {
    preset: preset ?? 'oidc',
    name: childText(provider, 'displayName') ?? provider.attributes['id'] ?? chosen[0]!.server.host,
    mail,
    signIn: chosen.some(({ oauth2 }) => oauth2) ? 'oauth2' : 'password',
    ...(issuer === undefined || preset !== undefined
      ? {}
      : { issuer: issuer.startsWith('https://') ? issuer : `https://${issuer}` }),
    ...(scopes === undefined || preset !== undefined ? {} : { scopes }),
  };
}

interface Server {
  readonly protocol: Protocol;
  readonly server: MailServer;
  readonly oauth2: boolean;
}

const rank = ({ oauth2, server }: Server): number => (oauth2 ? 0 : 2) + (server.tls === 'implicit' ? 0 : 1);

const PROTOCOLS: Readonly<Record<string, Protocol>> = {
  'incomingServer imap': 'imap',
  'incomingServer pop3': 'pop3',
  'outgoingServer smtp': 'smtp',
};
const TLS: Readonly<Record<string, MailServer['tls']>> = { SSL: 'implicit', STARTTLS: 'starttls' };

function serverOf(element: XmlElement): Server | undefined {
  const protocol = PROTOCOLS[`${element.name} ${element.attributes['type'] ?? ''}`];
  const host = childText(element, 'hostname')?.toLowerCase();
  const port = Number(childText(element, 'port'));
  const tls = TLS[childText(element, 'socketType')?.toUpperCase() ?? ''];
  if (!protocol || host === undefined || !isHost(host) || tls === undefined) return undefined;
  if (!Number.isInteger(port) || port < 1 || port > 65535) return undefined;
  const ways = element.children.filter(({ name }) => name === 'authentication').map(({ text }) => text);
  return { protocol, server: { host, port, tls }, oauth2: ways.includes('OAuth2') };
}

const isHost = (text: string): boolean => text.length <= 253 && /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(text);
