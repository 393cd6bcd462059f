/** The published schema against the product: what Postern refuses is refused by it too, as far as JSON Schema can say it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { parse } from 'yaml';
import { parseConfig } from './config.ts';
import { MAX_DURATION_MS } from './config-value.ts';

const published = readFileSync(resolve(import.meta.dirname, '../../docs/postern.schema.json'), 'utf8');
const holds = new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(published) as object);

function product(text: string): boolean {
  try {
    parseConfig(text, 'postern.yaml');
    return true;
  } catch {
    return false;
  }
}

const REFUSED: readonly string[] = [
  'listeners: [{ protocol: smtp, tls: none, host: 0.0.0.0, port: 0 }]',
  // P41
  'listeners: [{ protocol: smtp, tls: starttls, host: 0.0.0.0, port: 587 }, { protocol: smtp, tls: starttls, host: 0.0.0.0, port: 587 }]',
  'listeners: [{ protocol: smtp, tls: none, port: 0 }, { protocol: smtp, tls: none, port: 0 }]',
  'hostname: a b',
  // F66
  'console: { publicUrl: "https://x.test/a?b#c" }',
  'console: { publicUrl: "https://x.test/#c" }',
  'console: { publicUrl: "https://user:word@x.test/" }',
  'key: { source: nothing }',
  'listeners:',
  'hostname:',
  'webhooks: { allow: }',
  'listeners: [{ protocol: imap, tls: implicit, host: foo.example.com, port: 1993 }]',
  'console: { host: 0.0.0.0 }',
  'console: { host: 0.0.0.0, tls: false }',
  'console: { publicUrl: "http://mail.example.com/" }',
  'console: { trustedProxies: [foo] }',
  'webhooks: { allow: [foo] }',
  'webhooks: { allow: ["10.0.0.0/0"] }',
  'data: { url: "http://example.com/data.json" }',
  'outbox: { relay: { host: relay.example.com, user: x } }',
  'outbox: { relay: { host: relay.example.com, passwordFile: x } }',
  'outbox: { relay: { host: relay.example.com, user: x, passwordFile: y, tls: none } }',
  'outbox: { devices: { host: lan, rules: [{ name: a, networks: [10.0.0.1], mailbox: a@example.com }] } }',
  'outbox: { devices: { host: 10.0.0.1, rules: [{ name: a, networks: ["0.0.0.0/0"], mailbox: a@example.com }] } }',
  'outbox: { devices: { host: 10.0.0.1, rules: [{ name: a, networks: [10.0.0.1], mailbox: foo }] } }',
  'notices: { webhook: { url: "http://hooks.example.com/", secretFile: x } }',
  'notices: { webhook: { url: "http://localhost.example.com/", secretFile: x } }',
  `limits: { signInMs: ${MAX_DURATION_MS + 1} }`,
  'limits: { signInMs: 99999999999 }',
  'limits: { upstreamMs: 99999999999 }',
  'limits: { idleMs: { imap: 99999999999 } }',
  'limits: { reuseMs: 99999999999 }',
  'limits: { drainMs: 99999999999 }',
  'notices: { command: { run: [x], timeoutMs: 99999999999 } }',
];

const TAKEN: readonly string[] = [
  'hostname: mail.example.com',
  'hostname: "::1"',
  'listeners: [{ protocol: imap, tls: implicit, host: "::", port: 1993 }, { protocol: pop3, tls: none, host: localhost, port: 0 }]',
  // P41
  'listeners: [{ protocol: imap, tls: none, port: 0 }, { protocol: smtp, tls: none, port: 0 }, { protocol: imap, tls: implicit, port: 1993 }]',
  'listeners: [{ protocol: smtp, tls: none, host: 127.0.0.1, port: 1587 }, { protocol: smtp, tls: none, host: 127.0.0.2, port: 1587 }]',
  'console: { host: "::1" }',
  'console: { host: 0.0.0.0, tls: true }',
  'console: { host: 0.0.0.0, insecurePublic: true }',
  'console: { publicUrl: "https://mail.example.com/", trustedProxies: [10.0.0.1, "fd00::/8", "2001:db8::1", 10.0.0.0/8] }',
  'webhooks: { allow: ["10.0.0.0/10"] }',
  'outbox: { relay: { host: relay.example.com, user: x, passwordFile: y } }',
  'outbox: { relay: { host: 127.0.0.1, user: x, passwordFile: y, tls: none } }',
  'outbox: { devices: { host: localhost, rules: [{ name: a, networks: ["10.0.0.0/24"], mailbox: a@example.com }] } }',
  'notices: { webhook: { url: "http://127.0.0.1:9/hook", secretFile: x } }',
  'notices: { webhook: { url: "http://[::1]/hook", secretFile: x } }',
  'limits: { idleMs: { imap: 1000 } }',
  // F66
  ...'webhooks console key tls limits audit outbox log data renewal notices'
    .split(' ')
    .map((name) => `${name}:\n  # commented: out\n`),
  'notices:\n  mail:\n  webhook:\n  command:\n',
  'outbox:\n  relay:\n  devices:\n',
  'limits:\n  idleMs:\n  lineOctets: 2048\n',
  'console: { publicUrl: "https://x.test/mail/" }',
  `limits: { signInMs: ${MAX_DURATION_MS}, drainMs: 0, reuseMs: 0 }`,
];

for (const text of REFUSED)
  test(`D21, D28: refused by Postern and by the published schema: ${text}`, () => {
    assert.deepEqual([product(text), holds(parse(text))], [false, false]);
  });

for (const text of TAKEN)
  test(`D28: taken by Postern and by the published schema: ${text}`, () => {
    assert.deepEqual([product(text), holds(parse(text)), holds.errors ?? []], [true, true, []]);
  });
