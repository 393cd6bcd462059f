/** A request costs by its length, whatever it holds: one that takes the square stops everything else. */
import { after, before, test } from 'node:test';
import { ALICE, type ApiBed, type ApiClient, type Call, openApiBed, SHOP } from '../bed/api.ts';
import { grows } from '../bed/growth.ts';

let bed: ApiBed;
let client: ApiClient;
before(async () => {
  bed = await openApiBed();
  client = await bed.key();
  await client.ok('putTemplate', {
    params: { name: 'welcome' },
    json: { subject: 'Hi {{name}}', html: '<p>{{name}}</p>' },
  });
});
after(() => bed.stop());

const BODIES: Readonly<Record<string, Call & { readonly json: object }>> = {
  sendMessage: {
    json: {
      from: SHOP,
      to: ['bob@x.test', { name: 'Bob', address: 'bob@x.test' }],
      cc: 'a@x.test',
      replyTo: 'a@x.test',
      subject: 'x',
      text: 'x',
      html: '<p>x</p>',
      attachments: [{ filename: 'a.txt', contentType: 'text/plain', content: 'YQ==', cid: 'x' }],
      headers: { 'X-Order': '1' },
      inReplyTo: '<1@x>',
      references: ['<1@x>'],
      mailbox: SHOP,
      scheduledAt: '2027-11-21T09:30:00Z',
      lane: 'normal',
    },
  },
  sendMerge: {
    json: {
      from: SHOP,
      template: { name: 'welcome' },
      subject: 'x',
      merge: [{ to: 'bob@x.test', data: { name: 'Bob' } }],
    },
  },
  previewTemplate: { json: { subject: '{{name}}', text: '{{name}}', html: '<p>{{name}}</p>', data: { name: 'Zoë' } } },
  previewStoredTemplate: { params: { name: 'welcome' }, json: { data: { name: 'Zoë' } } },
  addSuppressions: { json: { items: [{ address: 'bob@x.test', mailbox: '*', reason: 'manual', note: 'x' }] } },
  createWebhook: { json: { url: 'https://127.0.0.1/x', types: ['message.sent'], mailboxes: ['*'] } },
  holdMailbox: { params: { address: ALICE }, json: { reason: 'x' } },
};
const RUNS = [
  ' ',
  '\n',
  '\r',
  '=',
  'a',
  'a ',
  '"',
  '(',
  '<',
  '\\',
  ',',
  '.',
  '@',
  ';a=b',
  '{{',
  '{{#a}}',
  '<p>',
  '<a href="',
  '&',
  '&#',
  'é',
  '-',
  '\t',
  '<!--',
  '=?',
  '[',
  '> ',
];
const LENGTH = 120_000;

/** Every text in a value, with the value that has another in its place. */
function* places(value: unknown, path = ''): Generator<{ readonly path: string; with(text: string): unknown }> {
  if (typeof value === 'string') yield { path, with: (text) => text };
  else if (Array.isArray(value))
    for (const [at, one] of value.entries())
      for (const place of places(one, `${path}/${at}`))
        yield { path: place.path, with: (text) => value.with(at, place.with(text)) };
  else if (typeof value === 'object' && value !== null)
    for (const [name, one] of Object.entries(value))
      for (const place of places(one, `${path}/${name}`))
        yield { path: place.path, with: (text) => ({ ...value, [name]: place.with(text) }) };
}

/** Milliseconds of the processor, of a request that is answered and of what the database's thread does for it, that are slow. */
const SLOW = 250;

test('S1: every text of every body takes time by its length', async () => {
  for (const [operation, call] of Object.entries(BODIES))
    for (const place of places(call.json))
      for (const run of RUNS)
        await grows(
          (length) => {
            const given = { ...call, json: place.with(`${run.repeat(Math.ceil(length / run.length))}!`) };
            return () => client.call(operation, given);
          },
          `${operation} ${place.path} ${JSON.stringify(run)}`,
          [LENGTH / 4, LENGTH, LENGTH * 4],
          SLOW,
        );
});
