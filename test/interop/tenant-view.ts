/** The sandbox tenant's mailboxes seen without the gateway: an app-only token, straight to its IMAP server. */
import { ImapFlow } from 'imapflow';
import { Agent, fetch } from 'undici';
import { CONFIDENTIAL_SECRET } from '../../src/sandbox/authority/directory.ts';
import type { SandboxFacts } from '../bed/sandbox-gateway.ts';
import type { Site, Stored } from './exercise.ts';

/** The tenant's web application; its id and secret are fixed, and open nothing else. */
const CONFIDENTIAL_ID = '5a4db0c5-0000-4000-8000-000000000020';

type View = Pick<Site, 'clear' | 'put' | 'messages'> & { close(): Promise<void> };

export async function tenantView(facts: SandboxFacts, caPem: string): Promise<View> {
  return imapView(facts.tenant.imap, caPem, await appToken(facts.authority, caPem));
}

/** Mailboxes of one IMAP server that a single token opens all of. */
export function imapView(server: SandboxFacts['tenant']['imap'], caPem: string, accessToken: string): View {
  const boxes = new Map<string, ImapFlow>();
  const open = async (address: string): Promise<ImapFlow> => {
    const known = boxes.get(address);
    if (known?.usable) return known;
    const { host, port, tls } = server;
    const box = new ImapFlow({
      host,
      port,
      secure: tls === 'implicit',
      auth: { user: address, accessToken },
      tls: { ca: caPem },
      logger: false,
    });
    await box.connect();
    boxes.set(address, box);
    return box;
  };
  const inFolder = async <T>(address: string, folder: string, work: (box: ImapFlow) => Promise<T>): Promise<T> => {
    const box = await open(address);
    // Selected again each time, so that what other sessions did is seen.
    const lock = await box.getMailboxLock(folder);
    try {
      await box.noop();
      return await work(box);
    } finally {
      lock.release();
    }
  };
  return {
    async clear(address) {
      for (const folder of ['INBOX', 'Archive'])
        await inFolder(address, folder, async (box) => {
          if (box.mailbox && box.mailbox.exists > 0) await box.messageDelete('1:*');
        });
    },
    async put(address, message) {
      await (await open(address)).append('INBOX', message);
    },
    messages: (address, folder) =>
      inFolder(address, folder, async (box) => {
        const found: Stored[] = [];
        if (!box.mailbox || box.mailbox.exists === 0) return found;
        for await (const { source, flags } of box.fetch('1:*', { source: true, flags: true })) {
          if (source) found.push({ body: source, flags: [...(flags ?? [])] });
        }
        return found;
      }),
    async close() {
      for (const box of boxes.values()) {
        await box.logout().catch(() => box.close());
      }
    },
  };
}

/** RFC 6749 §4.4, as the tenant's own daemon. */
async function appToken(authority: string, caPem: string): Promise<string> {
  const agent = new Agent({ connect: { ca: caPem } });
  try {
    const response = await fetch(`${authority}/oauth2/v2.0/token`, {
      method: 'POST',
      dispatcher: agent,
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: CONFIDENTIAL_ID,
        client_secret: CONFIDENTIAL_SECRET,
        scope: 'https://outlook.office365.com/.default',
      }),
    });
    const answer = (await response.json()) as { access_token?: string };
    if (!answer.access_token) throw new Error(`no token from the sandbox: ${JSON.stringify(answer)}`);
    return answer.access_token;
  } finally {
    await agent.close();
  }
}
