/**
 * A whole provider made of real servers: oidc-provider as the authority, Dovecot and Postfix as mail servers that take its
 * tokens. `introspection`: opaque tokens, asked about at the authority, servers reached by STARTTLS, provider `oidc`.
 * `jwt`: Entra-like tokens, validated by Dovecot itself, servers reached by implicit TLS, provider `microsoft`.
 */
import { join } from 'node:path';
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { type Dovecot, startDovecot } from './dovecot.ts';
import { type Postfix, startPostfix } from './postfix.ts';
import { privateFolder } from './process.ts';

export type Validation = 'introspection' | 'jwt';

export interface MailSite {
  readonly authority: AuthorizationServer;
  readonly dovecot: Dovecot;
  readonly postfix: Postfix;
  readonly certificates: Certificates;
  /** What an application at this provider is told, for `addApplication`. */
  readonly application: {
    readonly provider: string;
    readonly clientId: string;
    readonly settings: Readonly<Record<string, unknown>>;
  };
  log(): string;
  stop(): Promise<void>;
}

export const ALICE = 'alice@contoso.test';
export const BOB = 'bob@contoso.test';

const OUTLOOK = 'https://outlook.office.com';

export async function startMailSite(validation: Validation): Promise<MailSite> {
  const folder = privateFolder();
  const closers: (() => Promise<void> | void)[] = [folder.remove];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    const certificates = await makeCertificates(join(folder.path, 'tls'));
    const { caPem, certPem, keyPem } = certificates;
    const authority = await startAuthorizationServer({ tls: { cert: certPem, key: keyPem }, caPem });
    closers.push(authority.close);
    const dovecot = await startDovecot({
      certificates,
      users: [{ address: ALICE }, { address: BOB }],
      mechanisms: ['xoauth2', 'oauthbearer'],
      tokens:
        validation === 'jwt'
          ? {
              type: 'jwt',
              issuer: authority.issuer,
              keys: [{ kid: authority.signingKey.kid, alg: 'RS256', pem: authority.signingKey.spkiPem }],
              clientIds: [authority.clients.public.id, authority.clients.confidential.id],
              scopes: {
                imap: `${OUTLOOK}/IMAP.AccessAsUser.All`,
                pop3: `${OUTLOOK}/POP.AccessAsUser.All`,
                smtp: `${OUTLOOK}/SMTP.Send`,
              },
            }
          : {
              type: 'introspection',
              url: authority.endpoints.introspect,
              clientId: authority.clients.introspection.id,
              clientSecret: authority.clients.introspection.secret,
              caPem,
            },
    });
    closers.push(dovecot.stop);
    const postfix = await startPostfix({
      certificates,
      users: [ALICE, BOB],
      sasl: dovecot.ports.sasl,
      lmtp: dovecot.ports.lmtp,
    });
    closers.push(postfix.stop);
    return {
      authority,
      dovecot,
      postfix,
      certificates,
      application: applicationFor(validation, authority, { ...dovecot.ports, ...postfix.ports }, caPem),
      log: () => `${dovecot.log().slice(-3000)}\n${postfix.log().slice(-1500)}`,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Ports = Dovecot['ports'] & Postfix['ports'];

function applicationFor(
  validation: Validation,
  authority: AuthorizationServer,
  ports: Ports,
  ca: string,
): MailSite['application'] {
  const clientId = authority.clients.public.id;
  const server = (port: number, tls: 'implicit' | 'starttls'): unknown => ({ host: 'localhost', port, tls, ca });
  if (validation === 'jwt') {
    const imap = server(ports.imaps, 'implicit');
    const [pop3, smtp] = [server(ports.pop3s, 'implicit'), server(ports.smtps, 'implicit')];
    return {
      provider: 'microsoft',
      clientId,
      settings: { authority: authority.authority, issuer: authority.issuer, ca, imap, pop3, smtp },
    };
  }
  const scopes = {
    base: ['openid', 'profile', 'email', 'offline_access'],
    imap: ['mail:imap'],
    pop3: ['mail:pop3'],
    smtp: ['mail:smtp'],
  };
  const imap = server(ports.imap, 'starttls');
  const [pop3, smtp] = [server(ports.pop3, 'starttls'), server(ports.submission, 'starttls')];
  return { provider: 'oidc', clientId, settings: { issuer: authority.issuer, ca, scopes, imap, pop3, smtp } };
}
