/** Pieces of the schemas that several resources share. */
import { createRoute, type RouteConfig, z } from '@hono/zod-openapi';
import { text } from '../../admin/schema.ts';
import type { Permission } from '../../admin/actor.ts';
import { apiError } from './errors.ts';
import { problemSchema } from './problem.ts';

/** @param most items of a page */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50).openapi({ description: 'items at most' }),
  cursor: text(1000).optional().openapi({ description: '`next` of the page before' }),
});

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().openapi({ description: 'cursor of the following page; null on the last' }),
  });
}

/** An answer is what would be read by the schema: JSON. */
export const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { 'application/json': { schema: schema as z.ZodType<z.input<T>> } },
});
/** How the document writes a schema that adds to another one: as an extension of that. */
export function extension(base: z.ZodObject, whole: z.ZodObject): z.ZodType {
  const added = Object.fromEntries(Object.entries(whole.shape).filter(([name]) => !(name in base.shape)));
  return z.object(base.shape).openapi(base.meta()!.id!).extend(added).openapi(whole.meta()!.id!);
}

export const jsonBody = <T extends z.ZodType>(schema: T) => ({
  required: true,
  content: { 'application/json': { schema } },
});
export const problems = {
  default: { description: 'a problem', content: { 'application/problem+json': { schema: problemSchema } } },
} as const;
export const gone = { 204: { description: 'done' } } as const;

/** An operation of the document that is no act: what its key has to allow, and how it may fail. Its tag is the resource of its path. */
export function operation<
  const Method extends RouteConfig['method'],
  const Path extends `/v1/${string}`,
  const Facts extends Omit<RouteConfig, 'method' | 'path' | 'security' | 'tags'>,
>(method: Method, path: Path, permission: Permission, facts: Facts) {
  return createRoute({
    ...facts,
    method,
    path,
    security: [{ key: [permission] }],
    tags: [path.split('/')[2]!],
    responses: { ...facts.responses, ...problems },
  });
}

/** A position in a list, opaque to clients. */
export function cursorOf(position: unknown): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

/** @throws api.request */
export function readCursor<T>(text: string | undefined, schema: z.ZodType<T>): T | undefined {
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(Buffer.from(text, 'base64url').toString()));
  } catch (cause) {
    throw apiError('api.request', 'the cursor was not made by this API', {
      hint: 'give `next` of the page before',
      cause,
    });
  }
}

/** One more row than a page holds was asked for: whether there is a following page shows without counting. */
export function page<R extends { readonly seq: number }, T>(rows: readonly R[], limit: number, item: (row: R) => T) {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return { items: shown.map(item), next: rows.length > limit && last ? cursorOf(last.seq) : null };
}

export const iso = (at: number): string => new Date(at).toISOString();
