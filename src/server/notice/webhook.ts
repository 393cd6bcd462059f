/** Notices as signed POSTs (Standard Webhooks). */
import type { Secret } from '../../base/secret.ts';
import { signedHeaders } from '../../outbox/webhook/signature.ts';
import { serverError } from '../errors.ts';
import { version } from '../version.ts';
import { type NoticeChannel, payloadOf } from './channel.ts';

/** Receivers are to answer at once and work later. */
const TIMEOUT_MS = 15_000;

/** @param now for the signature's timestamp, in milliseconds since the epoch */
export function webhookChannel(url: string, secret: Secret, now: () => number): NoticeChannel {
  return {
    name: 'webhook',
    async deliver(notice, signal) {
      const payload = payloadOf(notice);
      // The receiver drops what it has seen: the word that it is over is another message than the notice itself.
      const at = Math.floor(now() / 1000);
      const headers = signedHeaders([{ secret, expiresAt: undefined }], `${notice.id}.${notice.status}`, at, payload);
      let status: number;
      try {
        const { request } = await import('undici');
        // Redirects are not followed: the address is the one that was configured.
        const answer = await request(url, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json', 'user-agent': `postern/${version}` },
          body: payload,
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        });
        status = answer.statusCode;
        await answer.body.dump();
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        const why = cause instanceof Error ? cause.message : String(cause);
        throw serverError('server.notice-delayed', `the webhook did not answer: ${why}`, { cause });
      }
      if (status >= 200 && status < 300) return;
      const text = `the webhook answered ${status}`;
      // 410 Gone: the receiver wants no more of these (Standard Webhooks).
      if (status === 410) throw serverError('server.notice-undeliverable', text);
      throw serverError('server.notice-delayed', text, { detail: { status } });
    },
  };
}
