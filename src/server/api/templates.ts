/** `/v1/templates`: versions, preview. */
import { createRoute, z } from '@hono/zod-openapi';
import { compileTemplate, renderMessage } from '../../outbox/template/render.ts';
import type { Template } from '../../store/types-api.ts';
import type { ApiApp } from './app.ts';
import { apiError } from './errors.ts';
import { type ApiDeps, needEveryMailbox, recordChange } from './request.ts';
import { gone, iso, json, jsonBody, page, pageOf, pageQuery, problems, readCursor, time, text } from './schema.ts';

const templateName = text(100)
  .regex(/^[a-z0-9][a-z0-9._-]{0,99}$/, 'lower case letters, digits, dot, dash and underscore')
  .openapi({ example: 'welcome' });
const source = z.object({
  subject: text(2000).openapi({ example: 'Welcome, {{name}}' }),
  html: text(1_000_000)
    .optional()
    .openapi({ description: 'values in it are escaped', example: '<p>Dear {{name}}</p>' }),
  text: text(1_000_000).optional().openapi({ description: 'made from html where it is missing' }),
});
const templateSchema = source.extend({ name: templateName, version: z.int(), createdAt: time }).openapi('Template');
const data = z
  .record(z.string(), z.unknown())
  .default({})
  .openapi({ description: 'values by name', example: { name: 'Zoë' } });
const rendered = z
  .object({ subject: z.string(), html: z.string().nullable(), text: z.string() })
  .openapi('RenderedTemplate');
const byName = z.object({ name: templateName });

export function templates(app: ApiApp, { store, clock, audit }: ApiDeps): void {
  const tags = ['templates'];
  const find = async (name: string, version?: number): Promise<Template> => {
    const found = await store.templates.find(name, version);
    if (found) return found;
    const what = version === undefined ? `template ${name}` : `version ${version} of template ${name}`;
    throw apiError('api.not-found', `there is no ${what}`);
  };
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/templates',
      operationId: 'listTemplates',
      security: [{ key: ['templates:read'] }],
      summary: 'All templates, newest versions',
      tags,
      request: { query: pageQuery },
      responses: { 200: json(pageOf(templateSchema), 'by name'), ...problems },
    }),
    async (c) => {
      const { limit, cursor } = c.req.valid('query');
      const after = readCursor(cursor, z.string());
      const rows = await store.templates.list({ limit: limit + 1, ...(after === undefined ? {} : { after }) });
      return c.json(
        page(rows, limit, ({ name }) => name, shown),
        200,
      );
    },
  );
  app.openapi(
    createRoute({
      method: 'put',
      path: '/v1/templates/{name}',
      operationId: 'putTemplate',
      security: [{ key: ['templates:write'] }],
      summary: 'Store the next version of a template',
      tags,
      request: { params: byName, body: jsonBody(source) },
      responses: { 201: json(templateSchema, 'the new version'), ...problems },
    }),
    async (c) => {
      needEveryMailbox(c, 'templates');
      const { name } = c.req.valid('param');
      const { subject, html, text } = c.req.valid('json');
      compileTemplate({ subject, html, text });
      const row = await store.templates.add({ name, subject, html, text, createdAt: clock.now() });
      await recordChange(c, audit, 'template.stored', { name, version: row.version });
      return c.json(shown(row), 201);
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/templates/preview',
      operationId: 'previewTemplate',
      security: [{ key: ['templates:read'] }],
      summary: 'Fill in a template that is not stored',
      tags,
      request: { body: jsonBody(source.extend({ data })) },
      responses: { 200: json(rendered, 'as it would be sent'), ...problems },
    }),
    async (c) => {
      const { data: values, subject, html, text } = c.req.valid('json');
      return c.json(await preview({ subject, html, text }, values), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/templates/{name}',
      operationId: 'getTemplate',
      security: [{ key: ['templates:read'] }],
      summary: 'One template',
      tags,
      request: { params: byName, query: z.object({ version: z.coerce.number().int().min(1).optional() }) },
      responses: { 200: json(templateSchema, 'the newest version, or the one that was asked for'), ...problems },
    }),
    async (c) => {
      return c.json(shown(await find(c.req.valid('param').name, c.req.valid('query').version)), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'get',
      path: '/v1/templates/{name}/versions',
      operationId: 'listTemplateVersions',
      security: [{ key: ['templates:read'] }],
      summary: 'All versions, newest first',
      tags,
      request: { params: byName, query: pageQuery },
      responses: { 200: json(pageOf(templateSchema), 'newest first'), ...problems },
    }),
    async (c) => {
      const { name } = c.req.valid('param');
      const { limit, cursor } = c.req.valid('query');
      await find(name);
      const before = readCursor(cursor, z.int());
      const rows = await store.templates.versions(name, {
        limit: limit + 1,
        ...(before === undefined ? {} : { before }),
      });
      return c.json(
        page(rows, limit, ({ version }) => version, shown),
        200,
      );
    },
  );
  app.openapi(
    createRoute({
      method: 'post',
      path: '/v1/templates/{name}/preview',
      operationId: 'previewStoredTemplate',
      security: [{ key: ['templates:read'] }],
      summary: 'Fill in a stored template',
      tags,
      request: { params: byName, body: jsonBody(z.object({ data, version: z.int().min(1).optional() })) },
      responses: { 200: json(rendered, 'as it would be sent'), ...problems },
    }),
    async (c) => {
      const { data: values, version } = c.req.valid('json');
      return c.json(await preview(await find(c.req.valid('param').name, version), values), 200);
    },
  );
  app.openapi(
    createRoute({
      method: 'delete',
      path: '/v1/templates/{name}',
      operationId: 'deleteTemplate',
      security: [{ key: ['templates:write'] }],
      summary: 'Remove a template with all its versions',
      tags,
      request: { params: byName },
      responses: { ...gone, ...problems },
    }),
    async (c) => {
      needEveryMailbox(c, 'templates');
      const { name } = c.req.valid('param');
      if (!(await store.templates.remove(name))) throw apiError('api.not-found', `there is no template ${name}`);
      await recordChange(c, audit, 'template.removed', { name });
      return c.body(null, 204);
    },
  );
}

async function preview(template: Pick<Template, 'subject' | 'html' | 'text'>, data: Readonly<Record<string, unknown>>) {
  const { subject, html, text } = await renderMessage(compileTemplate(template), data);
  return { subject, html: html ?? null, text };
}

function shown({ name, version, subject, html, text, createdAt }: Template) {
  return {
    name,
    version,
    subject,
    ...(html === undefined ? {} : { html }),
    ...(text === undefined ? {} : { text }),
    createdAt: iso(createdAt),
  };
}
