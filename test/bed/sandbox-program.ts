/** A sandbox in a process of its own, so that its memory and its work are not those of what is measured. Told by messages. */
import { type SandboxOptions, startSandbox } from '../../src/sandbox/index.ts';
import { messageIdOf } from '../../src/sandbox/mail/submission.ts';
import { BOB } from './mail-site.ts';

export interface SandboxFacts {
  readonly clientId: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

export type SandboxOrder =
  | { readonly type: 'approve'; readonly url: string; readonly user: string }
  | { readonly type: 'deliver'; readonly to: string; readonly raw: string }
  /** Message-IDs in bob's inbox. */
  | { readonly type: 'arrived' };

const sandbox = await startSandbox(JSON.parse(process.argv[2] ?? '{}') as SandboxOptions);
const { caPem: ca, authority } = sandbox;
const { imap, pop3, smtp } = sandbox.mail;

async function obey(order: SandboxOrder): Promise<unknown> {
  if (order.type === 'approve') return (await sandbox.approve(order.url, order.user)).href;
  if (order.type === 'deliver') return sandbox.mailStore.deliver(order.to, Buffer.from(order.raw))?.uid;
  return sandbox.mailStore.find(BOB)!.inbox.messages.map(({ raw }) => messageIdOf(raw));
}

process.on('message', ({ id, order }: { id: number; order: SandboxOrder }) => {
  obey(order).then(
    (result) => process.send!({ id, result }),
    (error: unknown) => process.send!({ id, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
const facts: SandboxFacts = {
  clientId: sandbox.clients.public.id,
  settings: {
    authority,
    ca,
    imap: { ...imap, ca },
    pop3: { ...pop3, ca },
    smtp: { ...smtp, ca },
    sendingLimits: { messagesPerMinute: 100_000, recipientsPerDay: 1_000_000, connections: 20 },
  },
};
process.send!(facts);
