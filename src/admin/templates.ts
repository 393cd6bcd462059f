/** Templates of messages: versions, preview. */
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { compileTemplate, renderMessage } from '../outbox/template/render.ts';
import type { Template } from '../store/types-api.ts';
import type { Store } from '../store/types.ts';
import { act, type ActDeps, type Desk, pageOf } from './act.ts';
import { adminError } from './errors.ts';
import { limit, moment, text } from './schema.ts';

const templateName = text(100)
  .regex(/^[a-z0-9][a-z0-9._-]{0,99}$/, 'lower case letters, digits, dot, dash and underscore')
  .meta({ example: 'welcome' });
const templateSource = z.object({
  subject: text(2000).meta({ example: 'Welcome, {{name}}' }),
  html: text(1_000_000).optional().meta({ description: 'values in it are escaped', example: '<p>Dear {{name}}</p>' }),
  text: text(1_000_000).optional().meta({ description: 'made from html where it is missing' }),
});
const template = templateSource
  .extend({ name: templateName, version: z.int(), createdAt: moment })
  .meta({ id: 'Template' });
const rendered = z
  .object({ subject: z.string(), html: z.string().nullable(), text: z.string() })
  .meta({ id: 'RenderedTemplate' });
const data = z
  .record(z.string(), z.unknown())
  .default({})
  .meta({ description: 'values by name', example: { name: 'Zoë' } });
const byName = z.object({ name: templateName });
/** One template is for every mailbox. */
const scope = (): readonly string[] => ['*'];

export const listTemplates = act({
  name: 'templates.list',
  summary: 'All templates, newest versions',
  permission: 'templates:read',
  gives: template,
  input: z.object({ limit, after: z.string().optional() }),
  run: ({ store }: Desk<ActDeps>, { limit, after }) =>
    pageOf(limit, (most) => store.templates.list({ limit: most, after })),
});

export const putTemplate = act({
  name: 'templates.put',
  summary: 'Store the next version of a template',
  permission: 'templates:write',
  gives: template,
  input: templateSource.extend(byName.shape),
  scope,
  what: 'template.stored',
  run({ store, clock }: Desk<ActDeps & { readonly clock: Clock }>, { name, subject, html, text }) {
    compileTemplate({ subject, html, text });
    return store.templates.add({ name, subject, html, text, createdAt: clock.now() });
  },
  record: ({ name, version }) => [{ data: { name, version } }],
});

export const previewTemplate = act({
  name: 'templates.preview',
  summary: 'Fill in a template that is not stored',
  permission: 'templates:read',
  gives: rendered,
  input: templateSource.extend({ data }),
  run: (_desk: Desk<ActDeps>, { data, subject, html, text }) => preview({ subject, html, text }, data),
});

export const getTemplate = act({
  name: 'templates.get',
  summary: 'One template',
  permission: 'templates:read',
  gives: template,
  input: byName.extend({ version: z.coerce.number().int().min(1).optional() }),
  run: ({ store }: Desk<ActDeps>, { name, version }) => find(store, name, version),
});

export const listTemplateVersions = act({
  name: 'templates.versions',
  summary: 'All versions, newest first',
  permission: 'templates:read',
  gives: template,
  input: byName.extend({ limit, after: z.int().optional() }),
  async run({ store }: Desk<ActDeps>, { name, limit, after }) {
    await find(store, name);
    return pageOf(limit, (most) => store.templates.versions(name, { limit: most, before: after }));
  },
});

export const previewStoredTemplate = act({
  name: 'templates.preview-stored',
  summary: 'Fill in a stored template',
  permission: 'templates:read',
  gives: rendered,
  input: byName.extend({ data, version: z.int().min(1).optional() }),
  run: async ({ store }: Desk<ActDeps>, { name, version, data }) => preview(await find(store, name, version), data),
});

export const removeTemplate = act({
  name: 'templates.remove',
  summary: 'Remove a template with all its versions',
  permission: 'templates:write',
  input: byName,
  scope,
  what: 'template.removed',
  async run({ store }: Desk<ActDeps>, { name }) {
    if (!(await store.templates.remove(name))) throw unknown(`template ${name}`);
  },
  record: (_, { name }) => [{ data: { name } }],
});

async function find(store: Store, name: string, version?: number): Promise<Template> {
  const found = await store.templates.find(name, version);
  if (found) return found;
  throw unknown(version === undefined ? `template ${name}` : `version ${version} of template ${name}`);
}

async function preview(source: Parameters<typeof compileTemplate>[0], data: Readonly<Record<string, unknown>>) {
  const { html, ...words } = await renderMessage(compileTemplate(source), data);
  return { ...words, html: html ?? null };
}

const unknown = (what: string): Error => adminError('admin.not-found', `there is no ${what}`);
