/**
 * Hands a message to Postern by HTTP. The idempotency key makes it safe to try again: the message goes out once.
 *
 *   POSTERN_KEY=… node send.ts shop@example.com bob@example.net order-4711
 */
import { setTimeout as delay } from 'node:timers/promises';

const { POSTERN_URL = 'http://127.0.0.1:7993', POSTERN_KEY = '' } = process.env;
const [from, to, order = ''] = process.argv.slice(2);
const MAX_TRIES = 5;

const message = { from, to, subject: `Your ${order}`, text: 'Thank you!' };
const headers = {
  authorization: `Bearer ${POSTERN_KEY}`,
  'content-type': 'application/json',
  'idempotency-key': order,
};

for (let tried = 1; ; tried += 1) {
  // No answer says nothing about whether the message was taken. The same request with the same key finds out.
  const answer = await fetch(`${POSTERN_URL}/v1/messages`, {
    method: 'POST',
    headers,
    body: JSON.stringify(message),
  }).catch((error: unknown) => {
    if (tried === MAX_TRIES) throw error;
  });
  if (answer?.ok) {
    const { id, replayed } = (await answer.json()) as { id: string; replayed?: boolean };
    console.log(replayed === true ? `${id} was taken before` : `${id} is taken`);
    break;
  }
  // Postern says when trying again makes sense; without Retry-After the request itself is wrong.
  const seconds = answer === undefined ? 1 : Number(answer.headers.get('retry-after') ?? Number.NaN);
  if (tried === MAX_TRIES || Number.isNaN(seconds)) {
    const { code, detail, hint } = (await answer!.json()) as { code: string; detail: string; hint: string };
    console.error(`${code}: ${detail}\n${hint}`);
    process.exit(1);
  }
  await delay(seconds * 1000);
}
