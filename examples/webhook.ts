/**
 * Receives webhooks and believes only those that Postern signed (Standard Webhooks).
 *
 *   POSTERN_WEBHOOK_SECRET=whsec_… node webhook.ts 8080
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';

const { POSTERN_WEBHOOK_SECRET = '' } = process.env;
const [port = '8080'] = process.argv.slice(2);
const key = Buffer.from(POSTERN_WEBHOOK_SECRET.replace(/^whsec_/, ''), 'base64');
/** Seconds a signature is good for, so that nobody sends an old request again. */
const TOLERANCE = 300;
/** Delivery is at least once. A program of yours keeps these with its data, for as long as Postern tries: three days. */
const seen = new Set<string>();

createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    () => response.destroy(),
  );
}).listen(Number(port), () => console.log('ready'));

/** What is answered. Everything but 2xx makes Postern send it again later: say 204 when the event is safe with you. */
async function receive(request: IncomingMessage): Promise<number> {
  const body = await buffer(request);
  const id = String(request.headers['webhook-id']);
  if (!isGenuine(request.headers, id, body)) return 401;
  if (!seen.has(id)) {
    const { type } = JSON.parse(body.toString()) as { type: string };
    console.log(`${id} ${type}`);
    seen.add(id);
  }
  return 204;
}

/** The signature is over the octets as they came; JSON that was parsed and written again is not the same. */
function isGenuine(headers: IncomingHttpHeaders, id: string, body: Buffer): boolean {
  const at = String(headers['webhook-timestamp']);
  if (!(Math.abs(Date.now() / 1000 - Number(at)) <= TOLERANCE)) return false;
  const expected = createHmac('sha256', key).update(`${id}.${at}.`).update(body).digest();
  // Several while the secret is changed over, each as `v1,` and base64.
  return String(headers['webhook-signature'])
    .split(' ')
    .map((one) => Buffer.from(one.replace(/^v1,/, ''), 'base64'))
    .some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}
