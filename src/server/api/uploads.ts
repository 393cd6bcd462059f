/** `/v1/uploads`: attachments sent ahead, as they are, without base64 and without a bound but that of a message. */
import { z } from '@hono/zod-openapi';
import { text, time } from '../../admin/schema.ts';
import { takeUpload } from '../../outbox/upload.ts';
import { UploadRoom } from '../../outbox/upload-room.ts';
import type { Upload } from '../../store/types-api.ts';
import { apiError } from './errors.ts';
import { type ApiApp, type ApiDeps, streamedBody } from './request.ts';
import { gone, iso, json, operation } from './schema.ts';

const uploadSchema = z
  .object({
    id: z.string(),
    filename: z.string(),
    contentType: z.string(),
    size: z.int(),
    createdAt: time,
    expiresAt: time,
  })
  .openapi('Upload');
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}$/i;
const filename = text(255, 1)
  .regex(/^[^\u0000-\u001f\u007f/\\]+$/, 'no path and no control characters')
  .openapi({ example: 'invoice.pdf' });

export function uploads(app: ApiApp, deps: ApiDeps): void {
  const room = new UploadRoom();
  app.openapi(
    operation('post', '/v1/uploads', 'messages:send', {
      operationId: 'createUpload',
      summary: 'Send an attachment ahead; the message names it by its id within a day',
      request: {
        query: z.object({ filename }),
        body: {
          description: 'the octets of the file; Content-Type is that of the attachment',
          content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
        },
      },
      responses: { 201: json(uploadSchema, 'it is durable') },
    }),
    async (c) => {
      const { id: principal } = c.get('key');
      const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase() ?? 'application/octet-stream';
      if (!MEDIA_TYPE.test(type)) throw apiError('api.media-type', `${type.slice(0, 100)} is no media type`);
      const { filename } = c.req.valid('query');
      const facts = { principal, filename, contentType: type, maxOctets: deps.outbox.maxOctets };
      const row = await takeUpload(
        { ...deps, room, confirm: async () => void (await c.get('hold').confirm()) },
        facts,
        streamedBody(c),
      );
      return c.json(shown(row), 201);
    },
  );
  app.openapi(
    operation('delete', '/v1/uploads/{id}', 'messages:send', {
      operationId: 'deleteUpload',
      summary: 'Forget an upload now',
      request: { params: z.object({ id: text(60) }) },
      responses: { ...gone },
    }),
    async (c) => {
      const { id: principal } = c.get('key');
      const { id } = c.req.valid('param');
      const row = await deps.store.uploads.find(id);
      await c.get('hold').confirm();
      if (row?.principal !== principal || !(await deps.store.uploads.remove(id)))
        throw apiError('api.not-found', `there is no upload ${id} of this key`);
      return c.body(null, 204);
    },
  );
}

function shown({ id, filename, contentType, size, createdAt, expiresAt }: Upload) {
  return { id, filename, contentType, size, createdAt: iso(createdAt), expiresAt: iso(expiresAt) };
}
