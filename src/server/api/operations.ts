/** What the operations of the API look like to a request that fits none: which methods a path has, which parameters are known. */
import { API_ACTIONS, type ApiAction } from '../../store/types-api.ts';
import { apiError } from './errors.ts';
import type { ApiApp, ApiContext } from './request.ts';

export interface Operation {
  /** What its key has to allow. */
  readonly action: ApiAction;
  readonly method: string;
  readonly path: RegExp;
  /** Its path has no placeholder. */
  readonly isLiteral: boolean;
  /** Names of query parameters. */
  readonly query: ReadonlySet<string>;
}

/** Beside the operations of the document. */
const PAGES = [/^\/openapi\.json$/, /^\/errors\/[^/]+$/];

export class Operations {
  readonly #app: ApiApp;
  #known: readonly Operation[] | undefined;

  constructor(app: ApiApp) {
    this.#app = app;
  }

  /** What a path can be asked with, for the header Allow; undefined for a path that is none. */
  methods(path: string): string | undefined {
    const found = this.#all().filter((one) => one.path.test(path));
    const names = [...found.map(({ method }) => method), ...(PAGES.some((page) => page.test(path)) ? ['GET'] : [])];
    if (names.length === 0) return undefined;
    return [...new Set(names.flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name])))].join(', ');
  }

  /** What a request asks for; undefined where there is no such operation. */
  of(c: ApiContext): Operation | undefined {
    const method = c.req.method === 'HEAD' ? 'GET' : c.req.method;
    const fitting = this.#all().filter((each) => each.method === method && each.path.test(c.req.path));
    // A name stands before a placeholder that would take it: /v1/templates/preview.
    return fitting.find(({ isLiteral }) => isLiteral) ?? fitting[0];
  }

  /** A parameter with a spelling mistake would be left out in silence otherwise. @throws api.unknown-parameter */
  checkQuery(c: ApiContext, one: Operation): void {
    if (!c.req.url.includes('?')) return;
    const unknown = Object.keys(c.req.queries()).filter((name) => !one.query.has(name));
    if (unknown.length === 0) return;
    const names = [...one.query].join(', ') || 'none';
    throw apiError('api.unknown-parameter', `there is no query parameter ${unknown[0]!.slice(0, 60)} here`, {
      hint: `this operation knows: ${names}`,
      detail: {
        violations: unknown
          .slice(0, 20)
          .map((name) => ({ path: name.slice(0, 60), message: 'this operation has no such query parameter' })),
      },
    });
  }

  #all(): readonly Operation[] {
    return (this.#known ??= this.#app.openAPIRegistry.definitions.flatMap((definition) => {
      if (definition.type !== 'route') return [];
      const { method, path, request, operationId, security } = definition.route;
      const [action] = security?.[0]?.['key'] ?? [];
      if (!API_ACTIONS.some((one) => one === action)) throw new Error(`${operationId ?? path} names no action`);
      const query = request?.query as { readonly shape?: object } | undefined;
      return [
        {
          action: action as ApiAction,
          isLiteral: !path.includes('{'),
          method: method.toUpperCase(),
          path: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+').replaceAll('.', String.raw`\.`)}$`),
          query: new Set(Object.keys(query?.shape ?? {})),
        },
      ];
    }));
  }
}
