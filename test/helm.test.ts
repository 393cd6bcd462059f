/** The Helm chart, rendered: well-formed, its parts agree with each other, with the image and with the configuration. */
import assert from 'node:assert/strict';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { defaultLimits } from '../src/gateway/start.ts';
import { Budget } from '../src/protocol/wire/budget.ts';
import { parseConfig, readConfig } from '../src/server/config.ts';
import { HTTP_LIMITS } from '../src/server/http-places.ts';
import { homeOf } from '../src/server/home.ts';
import { Templates } from './bed/helm.ts';

const root = resolve(import.meta.dirname, '..');
const chart = join(root, 'packaging/helm/postern');
const read = (file: string): string => readFileSync(join(chart, file), 'utf8');
const files = new Map(globSync('templates/*', { cwd: chart }).map((file) => [basename(file), read(file)] as const));
const facts = parse(read('Chart.yaml')) as { name: string; version: string; appVersion: string };

interface Values {
  readonly masterKey: Record<string, unknown>;
  readonly config: {
    readonly listeners: readonly { port: number }[];
    readonly console: { port: number; tls: boolean };
  };
  readonly ports: readonly { name: string; port: number; containerPort: number }[];
  readonly serviceMonitor: Record<string, unknown>;
}
const values = (): Values => parse(read('values.yaml')) as Values;

function rendered(change: (all: Record<string, unknown>) => Record<string, unknown> = (all) => all) {
  const all = values();
  const withKey = { ...all, masterKey: { ...all.masterKey, existingSecret: 'my-key' } };
  const templates = new Templates(files, {
    Values: change(withKey),
    Release: { Name: 'mail', Namespace: 'default', Service: 'Helm' },
    Chart: { Name: facts.name, Version: facts.version, AppVersion: facts.appVersion },
  });
  return new Map(
    [...files.keys()]
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => [name, parse(templates.render(name), { version: '1.1' }) as Rendered | null]),
  );
}
// Kubernetes objects, looked into by name.
type Rendered = { readonly kind: string; readonly [key: string]: unknown };

function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, name) => {
    assert.ok(typeof inner === 'object' && inner !== null && name in inner, `${path.join('.')} is there`);
    return (inner as Record<string | number, unknown>)[name];
  }, value);
}
const CONTAINER = ['spec', 'template', 'spec', 'containers', 0] as const;

test('as it comes: what runs, as whom, and where the key is', () => {
  const all = rendered();
  assert.deepEqual([...all].flatMap(([, object]) => (object ? [object.kind] : [])).toSorted(), [
    'ConfigMap',
    'Service',
    'StatefulSet',
  ]);
  const set = all.get('statefulset.yaml');
  const pod = at(set, 'spec', 'template', 'spec');
  assert.equal(at(pod, 'securityContext', 'runAsNonRoot'), true);
  assert.deepEqual(at(set, ...CONTAINER, 'securityContext'), {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  for (const [probe, path] of [
    ['livenessProbe', '/healthz'],
    ['startupProbe', '/healthz'],
    ['readinessProbe', '/readyz'],
  ] as const)
    assert.deepEqual(at(set, ...CONTAINER, probe, 'httpGet'), { path, port: 'console', scheme: 'HTTPS' });
  const mounts = at(set, ...CONTAINER, 'volumeMounts') as { name: string; mountPath: string }[];
  const volumes = (at(pod, 'volumes') as { name: string }[]).map(({ name }) => name);
  assert.deepEqual(mounts.map(({ name }) => name).toSorted(), [...volumes, 'state'].toSorted());
  const key = (at(set, ...CONTAINER, 'env') as { name: string; value: string }[]).find(({ name }) =>
    name.startsWith('POSTERN_MASTER_KEY'),
  );
  const folder = mounts.find(({ name }) => name === 'master-key')!.mountPath;
  assert.deepEqual(key, { name: 'POSTERN_MASTER_KEY_FILE', value: `${folder}/key` });
  assert.equal(at(pod, 'volumes', 1, 'secret', 'defaultMode'), 0o440);
  assert.match(String(at(set, 'spec', 'template', 'metadata', 'annotations', 'checksum/config')), /^[0-9a-f]{64}$/);
});

test('its configuration is one that Postern takes, and every port leads to one of its listeners', () => {
  const text = String(at(rendered().get('configmap.yaml'), 'data', 'postern.yaml'));
  const folder = mkdtempSync(join(tmpdir(), 'postern-helm-'));
  try {
    writeFileSync(join(folder, 'postern.yaml'), text);
    const config = readConfig(homeOf({ HOME: folder }, folder), {});
    const listening = [...config.listeners.map(({ port }) => port), config.console.port];
    const { ports } = values();
    assert.deepEqual(ports.map(({ containerPort }) => containerPort).toSorted(), listening.toSorted());
    assert.ok(listening.every((port) => port > 1024));
  } finally {
    rmSync(folder, { recursive: true });
  }
  const service = at(rendered().get('service.yaml'), 'spec');
  const labels = at(rendered().get('statefulset.yaml'), 'spec', 'template', 'metadata', 'labels');
  for (const [label, value] of Object.entries(at(service, 'selector') as object))
    assert.equal(at(labels, label), value);
});

test('with a key of one’s own, a database, a certificate, several replicas and monitoring', () => {
  const all = rendered((given) => ({
    ...given,
    replicas: 3,
    databaseSecret: 'pg',
    tlsSecret: 'cert',
    masterKey: { existingSecret: '', secretKey: 'key', value: 'abc' },
    imagePullSecrets: [{ name: 'pull' }],
    podAnnotations: { a: 'b' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'x', operator: 'Exists' }],
    affinity: { podAntiAffinity: {} },
    service: { type: 'LoadBalancer', externalTrafficPolicy: 'Local', annotations: { c: 'd' } },
    serviceMonitor: { ...values().serviceMonitor, enabled: true, apiKeySecret: 'metrics' },
  }));
  assert.equal(at(all.get('secret.yaml'), 'data', 'key'), 'YWJj');
  assert.equal(at(all.get('secret.yaml'), 'metadata', 'annotations', 'helm.sh/resource-policy'), 'keep');
  const set = all.get('statefulset.yaml');
  const named = (at(set, 'spec', 'template', 'spec', 'volumes') as { name: string }[]).map(({ name }) => name);
  assert.deepEqual(named, ['config', 'master-key', 'database', 'tls', 'tmp']);
  assert.equal(at(set, 'spec', 'template', 'spec', 'volumes', 1, 'secret', 'secretName'), 'mail-key');
  const config = parse(String(at(all.get('configmap.yaml'), 'data', 'postern.yaml'))) as unknown;
  assert.equal(at(config, 'tls', 'certificate'), '/etc/postern/tls/tls.crt');
  const [endpoint] = at(all.get('servicemonitor.yaml'), 'spec', 'endpoints') as unknown[];
  assert.deepEqual(
    [at(endpoint, 'scheme'), at(endpoint, 'authorization', 'credentials')],
    ['https', { name: 'metrics', key: 'token' }],
  );
  assert.equal(at(all.get('service.yaml'), 'spec', 'externalTrafficPolicy'), 'Local');
});

test('what cannot work is refused with the way out', () => {
  const without = (masterKey: object) => () => rendered((given) => ({ ...given, masterKey }));
  assert.throws(without({ existingSecret: '', secretKey: 'key', value: '' }), /openssl rand -base64 32/);
  assert.throws(() => rendered((given) => ({ ...given, replicas: 2 })), /databaseSecret and tlsSecret/);
});

test('chart, image and package agree; a reference that is in no values is found', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal(facts.appVersion, version);
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');
  assert.match(dockerfile, /^USER node$/m);
  assert.match(dockerfile, /^ENTRYPOINT \["postern"\]$/m);
  const typo = new Map([['a.yaml', 'x: {{ .Values.replica }}\n']]);
  assert.throws(
    () => new Templates(typo, { Values: values() }).render('a.yaml'),
    /unknown reference \.Values\.replica/,
  );
});

/** Bytes, as docs/reliability.md has them: what a process takes with nobody connected, and each connection from TLS to TLS. */
const START = 160 * 2 ** 20;
const CONNECTION = 100 * 1024;

test('S4: as many connections as are allowed, with all that may be held for them, fit into the memory limit', () => {
  const limit = String(at(rendered().get('statefulset.yaml'), ...CONTAINER, 'resources', 'limits', 'memory'));
  const memory = Number(/^(\d+)Mi$/.exec(limit)?.[1]) * 2 ** 20;
  const text = String(at(rendered().get('configmap.yaml'), 'data', 'postern.yaml'));
  const { limits } = parseConfig(text, 'postern.yaml');
  const { octets } = new Budget(limits.heldOctets === undefined ? {} : { octets: limits.heldOctets });
  const console = HTTP_LIMITS.connections * 30 * 1024;
  const needed = START + (limits.maxConnections ?? defaultLimits.maxConnections) * CONNECTION + octets + console;
  assert.ok(needed <= memory, `${Math.ceil(needed / 2 ** 20)} MiB of ${limit}`);
});
