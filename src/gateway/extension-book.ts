/**
 * What the providers' SMTP and POP3 servers say of themselves, written down at every sign-in and asked for where nobody has
 * signed in yet, so that EHLO and CAPA before sign-in promise neither too much nor too little.
 */
import { atMost, type Clock } from '../base/clock.ts';
import { asError } from '../base/error.ts';
import type { Log } from '../base/log.ts';
import type { MailEndpoint } from '../oauth/types.ts';
import type { Protocol } from '../store/protocols.ts';
import { commonExtensions } from './capabilities.ts';

export interface ExtensionBookOptions {
  readonly protocol: Exclude<Protocol, 'imap'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Asks one endpoint without signing in. */
  probe(endpoint: MailEndpoint): Promise<readonly string[]>;
  /** The endpoints in use; without it only learned ones count. */
  endpoints: (() => Promise<readonly MailEndpoint[]>) | undefined;
}

interface Page {
  /** Undefined when the endpoint could not be asked. */
  readonly lines: readonly string[] | undefined;
  readonly until: number;
}

/** As long as an endpoint is unknown. Every POP3 server in use has these two, and programs that keep mail need them. */
const CAUTIOUS = { smtp: [], pop3: ['TOP', 'UIDL'] } as const;
/** Servers change what they offer at most with a release. */
const FRESH_MS = 60 * 60_000;
/** An endpoint that could not be asked is left alone for a while, and new mailboxes are noticed as quickly. */
const AGAIN_MS = 60_000;
/** A mail program waiting for an EHLO reply is kept no longer than this. */
const PATIENCE_MS = 2_000;

export class ExtensionBook {
  readonly #options: ExtensionBookOptions;
  readonly #pages = new Map<string, Page>();
  readonly #asking = new Map<string, Promise<void>>();
  #answer: { readonly lines: readonly string[]; readonly until: number } | undefined;

  constructor(options: ExtensionBookOptions) {
    this.#options = options;
  }

  /** Notes what a provider announced after a sign-in. */
  learn(endpoint: { readonly host: string; readonly port: number }, lines: readonly string[]): void {
    const key = keyOf(endpoint);
    const known = this.#pages.get(key)?.lines;
    this.#pages.set(key, { lines, until: this.#options.clock.now() + FRESH_MS });
    if (known === undefined || known.join('\n') !== lines.join('\n')) this.#answer = undefined;
  }

  /** The lines every endpoint in use has. None as long as one of them is unknown: the cautious answer. Never throws. */
  async lines(): Promise<readonly string[]> {
    const now = this.#options.clock.now();
    if (this.#answer !== undefined && now < this.#answer.until) return this.#answer.lines;
    const keys = await this.#inUse();
    const known = keys.map((key) => this.#pages.get(key)?.lines);
    const lines: readonly string[] =
      known.length === 0 || known.includes(undefined)
        ? CAUTIOUS[this.#options.protocol]
        : commonExtensions(this.#options.protocol, known as (readonly string[])[]);
    this.#answer = { lines, until: now + AGAIN_MS };
    return lines;
  }

  async #inUse(): Promise<readonly string[]> {
    const { clock, endpoints, log } = this.#options;
    if (endpoints === undefined) {
      for (const [key, page] of this.#pages) if (page.until < clock.now()) this.#pages.delete(key);
      return [...this.#pages.keys()];
    }
    let inUse: readonly MailEndpoint[] | undefined;
    try {
      // A database that does not answer keeps no program waiting.
      await atMost(
        clock,
        PATIENCE_MS,
        endpoints().then((found) => (inUse = found)),
      );
      if (inUse === undefined) return [...this.#pages.keys()];
    } catch (error) {
      log.warn({ code: asError(error).code }, 'cannot tell which provider endpoints are in use');
      return [...this.#pages.keys()];
    }
    const unknown: Promise<void>[] = [];
    for (const endpoint of inUse) {
      const page = this.#pages.get(keyOf(endpoint));
      if (page !== undefined && page.until > clock.now()) continue;
      const asked = this.#ask(endpoint);
      if (page?.lines === undefined) unknown.push(asked); // a stale page is good enough while it is renewed
    }
    if (unknown.length > 0) await atMost(clock, PATIENCE_MS, Promise.all(unknown));
    return [...new Set(inUse.map(keyOf))];
  }

  #ask(endpoint: MailEndpoint): Promise<void> {
    const key = keyOf(endpoint);
    const running = this.#asking.get(key);
    if (running !== undefined) return running;
    const asking = this.#options
      .probe(endpoint)
      .then(
        (lines) => this.learn(endpoint, lines),
        (error: unknown) => {
          const { code, message } = asError(error);
          this.#options.log.info(
            { code, host: endpoint.host, port: endpoint.port },
            `cannot ask the provider for its extensions: ${message}`,
          );
          const lines = this.#pages.get(key)?.lines;
          this.#pages.set(key, { lines, until: this.#options.clock.now() + AGAIN_MS });
        },
      )
      .finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }
}

function keyOf(endpoint: { readonly host: string; readonly port: number }): string {
  return `${endpoint.host}:${endpoint.port}`;
}
