/** Acts as operations of the API: from one come the parameters, the call and the answer of the other. */
import { type RouteConfig, z } from '@hono/zod-openapi';
import { type Act, type Page, perform } from '../../admin/act.ts';
import { jsonOf } from './body.ts';
import { actorOf, type ApiApp, type ApiContext, type ApiDeps, queryOf, valid } from './request.ts';
import { cursorOf, gone, json, jsonBody, operation, pageOf, pageQuery, readCursor } from './schema.ts';

interface Answer {
  /** 200 unless given. */
  readonly status?: 200 | 201 | 202;
  readonly says: string;
  /** How the document writes it, where that is not as the act does. */
  readonly as?: z.ZodType;
}

interface ListAnswer<R, P> extends Omit<Answer, 'status' | 'as'> {
  /** Where a page ends: `after` of the act, and what the cursor holds. */
  position(last: R): P;
  /** What the list is narrowed by, where that is not said as the act says it; and how it becomes the act's input. */
  readonly query?: z.ZodObject;
  input?(query: Readonly<Record<string, unknown>>): object;
}

/** Inputs of a list: its bound, where it goes on, and what it is narrowed by. */
type ListInput<P extends z.ZodType> = z.ZodObject<{ limit: z.ZodType; after: z.ZodOptional<P> }>;

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type ActPath = `/v1/${string}`;

export interface ActRoutes {
  /**
   * @param at method and path. Names in braces are members of the act's input; the others come as query, or in the body of a method
   *   that has one
   * @param answer a function, or missing: there is nothing to say (204), unless it throws
   */
  one<I extends z.ZodObject, O>(
    act: Act<ApiDeps, I, O>,
    operationId: string,
    at: `${Method} ${ActPath}`,
    answer?: Answer | ((output: O) => void),
  ): void;
  /** A list in pages. */
  list<I extends ListInput<P>, R, P extends z.ZodType>(
    act: Act<ApiDeps, I, Page<R>>,
    operationId: string,
    path: ActPath,
    answer: ListAnswer<R, z.output<P>>,
  ): void;
}

export function actRoutes(app: ApiApp, deps: ApiDeps): ActRoutes {
  /** Registers it for the document, and answers it. The act looks at the input, so nothing else does. */
  const serve = (
    { permission, summary }: Pick<Act<ApiDeps, z.ZodObject, unknown>, 'permission' | 'summary'>,
    [method, path]: readonly [Method, ActPath],
    facts: Pick<RouteConfig, 'operationId' | 'request' | 'responses'>,
    handle: (c: ApiContext) => Promise<Response>,
  ): void => {
    const route = operation(method, path, permission, { ...facts, summary });
    app.openAPIRegistry.registerPath(route);
    app.on(method, route.getRoutingPath(), handle);
  };
  return {
    one(act, operationId, at, answer) {
      const [method, path] = at.split(' ') as [Method, ActPath];
      const { params, rest } = partsOf(act.input, path);
      const inBody = method.startsWith('p');
      const others = Object.keys(rest.shape).length === 0 ? {} : inBody ? { body: jsonBody(rest) } : { query: rest };
      const said = typeof answer === 'object' ? { ...answer, ...asGiven(act) } : undefined;
      const status = said?.status ?? 200;
      const success = said ? { [status]: json(said.as ?? said.schema, said.says) } : gone;
      const request = { ...params, ...others };
      serve(act, [method, path], { operationId, request, responses: success }, async (c) => {
        const asked = !('body' in others) ? queryOf(c) : isJson(c) ? await jsonOf(c.req) : {};
        // What is no object is for the schema to refuse.
        const isObject = typeof asked === 'object' && asked !== null && !Array.isArray(asked);
        const output = await perform(
          act,
          deps,
          actorOf(c),
          (isObject ? { ...asked, ...c.req.param() } : asked) as z.input<typeof act.input>,
        );
        if (said) return c.json(said.show(output) as object, status);
        if (typeof answer === 'function') answer(output);
        return c.body(null, 204);
      });
    },
    list(act, operationId, path, { says, position, input, query: narrow }) {
      const { schema, show } = asGiven(act);
      const { params, rest } = partsOf(act.input, path);
      const query = pageQuery.extend((narrow ?? without(rest, ['limit', 'after'])).shape);
      const request = { ...params, query };
      const responses = { 200: json(pageOf(schema), says) };
      serve(act, ['get', path], { operationId, request, responses }, async (c) => {
        const { limit, cursor, ...given } = valid(query, queryOf(c));
        const after = readCursor(cursor as string | undefined, act.input.shape.after);
        const asked = { ...(input?.(given) ?? given), ...c.req.param(), limit, after };
        const { rows, more } = await perform(act, deps, actorOf(c), asked as z.input<typeof act.input>);
        const last = rows.at(-1);
        const next = more && last !== undefined ? cursorOf(position(last)) : null;
        return c.json({ items: rows.map((row) => show(row)), next }, 200);
      });
    },
  };
}

const isJson = (c: ApiContext): boolean => /^application\/json\b/i.test(c.req.header('content-type') ?? '');

function asGiven({ gives, name }: Pick<Act<ApiDeps, z.ZodType, unknown>, 'gives' | 'name'>) {
  if (gives === undefined) throw new TypeError(`the act ${name} does not say what it gives`);
  return { schema: gives, show: (output: unknown): unknown => z.encode(gives, output) };
}

function partsOf(input: z.ZodObject, path: string): { params: { params?: z.ZodObject }; rest: z.ZodObject } {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
  const params = without(
    input,
    Object.keys(input.shape).filter((name) => !names.includes(name)),
  );
  return { params: names.length === 0 ? {} : { params }, rest: without(input, names) };
}

function without(schema: z.ZodObject, names: readonly string[]): z.ZodObject {
  return schema.omit(Object.fromEntries(names.map((name) => [name, true])) as never);
}
