/** The OpenAPI document, made from the schemas that check requests. */
import type { ApiApp } from './app.ts';

export function documentOf(app: ApiApp, version: string): object {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version,
      description:
        'Hand over mail and follow what becomes of it. A message answered with 202 is durable: it reaches the provider, or its sender learns why not. Failures are RFC 9457 problems.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ key: [] }],
    tags: [
      { name: 'messages', description: 'mail handed over, and what became of it' },
      { name: 'uploads', description: 'attachments sent ahead' },
      { name: 'events', description: 'everything that happens, in order' },
      { name: 'mailboxes', description: 'what mail is sent through' },
      { name: 'templates', description: 'messages to be filled in' },
      { name: 'suppressions', description: 'addresses that get no mail' },
      { name: 'webhooks', description: 'who is told of events' },
    ],
  });
}
