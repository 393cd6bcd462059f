/** `/v1/templates`: versions, preview. */
import { z } from '@hono/zod-openapi';
import { time } from '../../admin/schema.ts';
import type { Rendered } from '../../outbox/template/render.ts';
import {
  getTemplate,
  listTemplates,
  listTemplateVersions,
  previewStoredTemplate,
  previewTemplate,
  putTemplate,
  removeTemplate,
  templateName,
  templateSource,
} from '../../admin/templates.ts';
import type { Template } from '../../store/types-api.ts';
import type { ActRoutes } from './acts.ts';
import { iso } from './schema.ts';

const schema = templateSource.extend({ name: templateName, version: z.int(), createdAt: time }).openapi('Template');
const rendered = {
  schema: z.object({ subject: z.string(), html: z.string().nullable(), text: z.string() }).openapi('RenderedTemplate'),
  says: 'as it would be sent',
  show: ({ subject, html, text }: Rendered) => ({ subject, html: html ?? null, text }),
};
const show = ({ createdAt, ...row }: Template) => ({ ...row, createdAt: iso(createdAt) });

export function templates({ list, one }: ActRoutes): void {
  const position = ({ name }: Template): string => name;
  list(listTemplates, 'listTemplates', '/v1/templates', { schema, says: 'by name', position, show });
  one(putTemplate, 'putTemplate', 'put /v1/templates/{name}', { status: 201, schema, says: 'the new version', show });
  one(previewTemplate, 'previewTemplate', 'post /v1/templates/preview', rendered);
  const says = 'the newest version, or the one that was asked for';
  one(getTemplate, 'getTemplate', 'get /v1/templates/{name}', { schema, says, show });
  list(listTemplateVersions, 'listTemplateVersions', '/v1/templates/{name}/versions', {
    schema,
    says: 'newest first',
    position: ({ version }) => version,
    show,
  });
  one(previewStoredTemplate, 'previewStoredTemplate', 'post /v1/templates/{name}/preview', rendered);
  one(removeTemplate, 'deleteTemplate', 'delete /v1/templates/{name}');
}
