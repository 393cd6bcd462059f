/** A kept session with some messages, and with its mailbox selected. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { KeptSession, type Serve } from './kept-session.ts';

export async function start(t: TestContext, messages = 3, serve?: Serve): Promise<KeptSession> {
  const session = await KeptSession.start(serve);
  t.after(() => session.close());
  for (let n = 0; n < messages; n++) session.mailbox.inbox.add(Buffer.from(`Subject: ${n}\r\n\r\nhello\r\n`), 0);
  return session;
}

/** Selects and learns everything; the UIDs are asked for by the gateway on its own once the client is silent. */
export async function selected(session: KeptSession, verb = 'SELECT'): Promise<void> {
  assert.match(await session.program.ask(`${verb} INBOX`), /^OK/);
  if (session.mailbox.inbox.messages.length > 0) await session.program.ask('FETCH 1:* (UID FLAGS)');
}
