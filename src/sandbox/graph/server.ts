/** Microsoft Graph, as much of it as sending mail and verifying a registration need. */
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Clock } from '../../base/clock.ts';
import type { Platform } from '../authority/platform.ts';
import type { Certificates, Door } from '../door.ts';
import { openHttpDoor } from '../http-door.ts';
import type { MailSite } from '../mail/site.ts';
import type { TokenCheck } from '../token.ts';
import { directoryRoutes } from './directory.ts';
import { mailRoutes } from './mail.ts';
import { answerRefusal, refuse } from './refusal.ts';
import { authenticate, type GraphSite } from './site.ts';

export interface GraphServer {
  /** `https://localhost:PORT`; what `https://graph.microsoft.com` is elsewhere. */
  readonly origin: string;
  close(): Promise<void>;
}

/** @throws sandbox.port-taken */
export async function startGraph(options: {
  readonly platform: Platform;
  readonly mail: MailSite;
  readonly tokens: TokenCheck;
  readonly certificates: Certificates;
  readonly wall: Clock;
  readonly port: number;
}): Promise<GraphServer> {
  const { mail, certificates, wall, port } = options;
  const { faults, clock, log } = mail;
  let app: Hono | undefined;
  const door: Door = await openHttpDoor({ place: 'graph', port, certificates, faults, wall, clock, log }, () => app!);
  const origin = `https://localhost:${door.port}`;
  app = createGraph({ ...options, origin });
  return { origin, close: () => door.close() };
}

/** Answers fetch-style requests. */
function createGraph(site: GraphSite): Hono {
  const app = new Hono();
  app.use((c, next) =>
    bodyLimit({
      maxSize: site.mail.ledger.limits.graphRequestOctets,
      onError: () => {
        throw refuse(413, 'RequestEntityTooLarge', 'The request is larger than the service allows.', {
          // The rest of the body is not read.
          connection: 'close',
        });
      },
    })(c, next),
  );
  const verdictOf = (c: Context): ReturnType<typeof authenticate> => authenticate(site, c);
  mailRoutes(app, site, verdictOf);
  directoryRoutes(app, site, verdictOf);
  // OData's other form of a key: /servicePrincipals(appId='…') is /servicePrincipals/appId=….
  app.get('/v1.0/*', (c) => {
    const url = new URL(c.req.url);
    const path = decodeURIComponent(url.pathname).replace(/\(appId='([^']+)'\)/, '/appId=$1');
    if (path === decodeURIComponent(url.pathname)) return notFound(c);
    url.pathname = path;
    return app.fetch(new Request(url, { headers: c.req.raw.headers }), c.env);
  });
  const notFound = (c: Context): Response => {
    authenticate(site, c);
    throw refuse(400, 'BadRequest', `Resource not found for the segment '${c.req.path.split('/').at(-1) ?? ''}'.`);
  };
  app.notFound(notFound);
  app.onError((error, c) => {
    const refused = answerRefusal(error, site.mail.clock.now(), c.req.header('client-request-id'));
    if (refused) return refused;
    site.mail.log.error({ error: error.message, stack: error.stack, path: c.req.path }, 'the sandbox’s Graph failed');
    return c.json({ error: { code: 'generalException', message: 'the sandbox failed; its log says why' } }, 500);
  });
  return app;
}
