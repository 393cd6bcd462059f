/** The OpenAPI document is one that other tools can use: https://spec.openapis.org/oas/v3.1.0. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { z } from 'zod';
import { apiDocument } from '../../src/server/api/app.ts';
import { API_ACTIONS } from '../../src/store/types-api.ts';
import type { OpenApi } from '../bed/api.ts';

const document = JSON.parse(JSON.stringify(apiDocument('1.2.3'))) as OpenApi & {
  readonly info: { readonly version: string };
  readonly tags: readonly { readonly name: string }[];
};
const schema: z.ZodType = z.lazy(() => z.looseObject({}));
const content = z.record(z.string().regex(/^[\w.+-]+\/[\w.+-]+$/), z.looseObject({ schema }));
const response = z.strictObject({
  description: z.string().min(1),
  content: content.optional(),
  headers: z.unknown().optional(),
});
const parameter = z.strictObject({
  name: z.string(),
  in: z.enum(['path', 'query', 'header']),
  required: z.boolean().optional(),
  schema,
  description: z.string().optional(),
  example: z.unknown().optional(),
});
const operation = z.strictObject({
  operationId: z.string().regex(/^[a-z][A-Za-z]+$/),
  summary: z.string().min(5),
  description: z.string().optional(),
  tags: z.array(z.string()).length(1),
  security: z.tuple([z.strictObject({ key: z.tuple([z.enum(API_ACTIONS)]) })]),
  parameters: z.array(parameter).optional(),
  requestBody: z
    .strictObject({ required: z.boolean().optional(), description: z.string().optional(), content })
    .optional(),
  responses: z.record(z.string().regex(/^(?:[1-5]\d\d|default)$/), response),
});
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, one]) => ({ path, method, one })),
);

test('a validator that is not ours finds nothing, by the schema of the specification', async () => {
  const validator = new Validator();
  const found = await validator.validate({ ...document });
  assert.deepEqual(found, { valid: true });
  assert.equal(validator.version, '3.1');
  const { info: _, ...headless } = structuredClone(document);
  assert.equal((await validator.validate(headless)).valid, false, 'it looks');
});

test('every operation has what the specification asks for', () => {
  assert.equal(document.openapi, '3.1.0');
  assert.equal(document.info.version, '1.2.3');
  const tags = new Set(document.tags.map(({ name }) => name));
  for (const { path, method, one } of operations) {
    const what = `${method} ${path}`;
    assert.match(path, /^\/v1\/[\w/{}-]+$/);
    assert.ok(['get', 'put', 'post', 'patch', 'delete'].includes(method), what);
    const parsed = operation.safeParse(one);
    assert.ok(parsed.success, `${what}: ${parsed.error?.message ?? ''}`);
    assert.ok(
      parsed.data.tags.every((tag) => tags.has(tag)),
      what,
    );
    const parameters = parsed.data.parameters ?? [];
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const declared = parameters.filter((each) => each.in === 'path');
    assert.deepEqual(
      declared.map(({ name }) => name),
      inPath,
      what,
    );
    assert.ok(
      declared.every(({ required }) => required === true),
      what,
    );
    assert.equal(new Set(parameters.map((each) => `${each.in} ${each.name}`)).size, parameters.length, what);
    assert.ok('default' in parsed.data.responses && Object.keys(parsed.data.responses).length > 1, what);
  }
  const ids = operations.map(({ one }) => one.operationId);
  assert.equal(new Set(ids).size, ids.length);
});

test('every reference leads somewhere, and every schema can be read', () => {
  const text = JSON.stringify(document);
  const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, target]) => target!);
  assert.ok(references.length > 20);
  for (const target of references) {
    const found = target.startsWith('#/')
      ? target
          .slice(2)
          .split('/')
          .reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], document)
      : undefined;
    assert.ok(found, target);
  }
  const $defs = document.components.schemas;
  for (const [name, one] of Object.entries($defs)) {
    const whole = JSON.stringify({ ...one, $defs }).replaceAll('#/components/schemas/', '#/$defs/');
    assert.ok(z.fromJSONSchema(JSON.parse(whole) as z.core.JSONSchema.JSONSchema), name);
  }
});
