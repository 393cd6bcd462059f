/** A plain client of the sandbox: asks its authority for tokens, signs in to its mail servers, word by word. */
import { randomBytes } from 'node:crypto';
import { Agent, fetch, type Response } from 'undici';
import type { Sandbox } from '../../src/sandbox/index.ts';
import { Wire } from './wire.ts';

const MAIL_SCOPES = ['IMAP.AccessAsUser.All', 'POP.AccessAsUser.All', 'SMTP.Send']
  .map((name) => `https://outlook.office.com/${name}`)
  .join(' ');

export interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly expires_in: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Response['headers'];
  readonly text: string;
  /** The OAuth body, empty when there is none. */
  readonly body: Readonly<Partial<Record<string, unknown>>>;
}

export class TenantClient {
  readonly #sandbox: Sandbox;
  readonly #agent: Agent;

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
    this.#agent = new Agent({ connect: { ca: sandbox.caPem } });
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  /** One request with the sandbox's authority trusted. */
  request(url: string, init: Parameters<typeof fetch>[1] = {}): Promise<Response> {
    return fetch(url, { ...init, dispatcher: this.#agent });
  }

  /** One request at the token endpoint, whatever comes back. */
  async token(form: Readonly<Record<string, string>>): Promise<Answer> {
    const response = await this.request(`${this.#sandbox.authority}/oauth2/v2.0/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    const body = isJson ? (JSON.parse(text) as Answer['body']) : {};
    return { status: response.status, headers: response.headers, text, body };
  }

  /** The redirect that ends a person's sign-in. */
  signIn(user: string, scope = MAIL_SCOPES, client = this.#sandbox.clients.public.id): Promise<URL> {
    const url = new URL(`${this.#sandbox.authority}/oauth2/v2.0/authorize`);
    url.search = new URLSearchParams({
      client_id: client,
      response_type: 'code',
      redirect_uri: 'http://localhost/',
      scope: `offline_access ${scope}`,
      state: randomBytes(8).toString('hex'),
    }).toString();
    return this.#sandbox.approve(url.href, user);
  }

  redeem(redirect: URL): Promise<Answer> {
    return this.token({
      grant_type: 'authorization_code',
      client_id: this.#sandbox.clients.public.id,
      code: redirect.searchParams.get('code') ?? '',
      redirect_uri: 'http://localhost/',
    });
  }

  refresh(refreshToken: string): Promise<Answer> {
    const client = this.#sandbox.clients.public.id;
    return this.token({ grant_type: 'refresh_token', client_id: client, refresh_token: refreshToken });
  }

  appOnly(scope = 'https://outlook.office365.com/.default'): Promise<Answer> {
    const { id, secret } = this.#sandbox.clients.confidential;
    return this.token({ grant_type: 'client_credentials', client_id: id, client_secret: secret, scope });
  }

  /** Signs in, consents and redeems the code. */
  async tokens(user: string, scope = MAIL_SCOPES): Promise<Tokens> {
    const { status, text, body } = await this.redeem(await this.signIn(user, scope));
    if (status !== 200) throw new Error(`no tokens for ${user}: ${text}`);
    return body as Readonly<Partial<Record<string, unknown>>> & Tokens;
  }

  async bearer(user: string): Promise<string> {
    return xoauth2(user, (await this.tokens(user)).access_token);
  }

  /** An IMAP session, greeted; signed in when `user` is given. */
  async imap(user?: string): Promise<Wire> {
    const wire = await Wire.open(this.#sandbox.mail.imap, this.#sandbox.caPem);
    await wire.until(/\* OK .*\r\n/);
    if (user === undefined) return wire;
    wire.send(`a AUTHENTICATE XOAUTH2 ${await this.bearer(user)}\r\n`);
    await wire.until(/^a OK .*\r\n/m);
    return wire;
  }

  async pop3(): Promise<Wire> {
    const wire = await Wire.open(this.#sandbox.mail.pop3, this.#sandbox.caPem);
    await wire.until(/\+OK .*\r\n/);
    return wire;
  }

  /** Sends AUTH and gives the last line of the answer. */
  async popAuth(wire: Wire, user: string): Promise<string> {
    wire.send('AUTH XOAUTH2\r\n');
    await wire.until(/\+ \r\n/);
    wire.send(`${await this.bearer(user)}\r\n`);
    return wire.until(/^[+-].*\r\n/m);
  }

  /** An SMTP session after STARTTLS and EHLO. */
  async smtp(): Promise<Wire> {
    const wire = await Wire.open(this.#sandbox.mail.smtp);
    await wire.until(/^220 .*\r\n/);
    wire.send('EHLO test\r\n');
    await wire.until(/^250 .*\r\n/m);
    wire.send('STARTTLS\r\n');
    await wire.until(/^220 .*\r\n/m);
    await wire.secure(this.#sandbox.caPem);
    wire.send('EHLO test\r\n');
    await wire.until(/^250 .*\r\n/m);
    return wire;
  }

  /** The reply to AUTH. */
  async smtpAuth(wire: Wire, user: string): Promise<string> {
    wire.send(`AUTH XOAUTH2 ${await this.bearer(user)}\r\n`);
    return wire.until(/^\d{3} .*\r\n/m);
  }

  /** Submits a small message and gives the replies up to the first refusal, else the last. */
  async submit(wire: Wire, from: string, to: readonly string[], body = 'Subject: x\r\n\r\nhello\r\n'): Promise<string> {
    const steps = [`MAIL FROM:<${from}>`, ...to.map((address) => `RCPT TO:<${address}>`), 'DATA'];
    for (const step of steps) {
      wire.send(`${step}\r\n`);
      const reply = await wire.until(/^\d{3} .*\r\n/m);
      if (/^[45]/.test(reply)) return reply;
    }
    wire.send(`From: ${from}\r\n${body}.\r\n`);
    return wire.until(/^\d{3} .*\r\n/m);
  }
}

export function xoauth2(user: string, token: string): string {
  return Buffer.from(`user=${user}\x01auth=Bearer ${token}\x01\x01`).toString('base64');
}
