/** `postern discover` and `application add --for`, the real command: every https request goes through a proxy that leads to a server of ours. */
import assert from 'node:assert/strict';
import { createServer as createProxy } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Certificates, makeCertificates } from '../bed/certificates.ts';
import { postern } from '../bed/postern.ts';
import { type Finished, privateFolder, type RunOptions } from '../bed/process.ts';

const folder = privateFolder();
const home = join(folder.path, 'home');
/** `host:port` of every tunnel, and every path that was asked for. */
const tunnels: string[] = [];
const paths: string[] = [];
let certificates: Certificates;
let site: Server;
let proxy: Server;

const FILE = `<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="onboard.test">
<incomingServer type="imap"><hostname>imap.onboard.test</hostname><port>993</port><socketType>SSL</socketType><authentication>OAuth2</authentication></incomingServer>
<outgoingServer type="smtp"><hostname>smtp.onboard.test</hostname><port>465</port><socketType>SSL</socketType><authentication>OAuth2</authentication></outgoingServer>
</emailProvider><oAuth2><issuer>id.onboard.test</issuer></oAuth2></clientConfig>`;

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const listen = (server: Server): Promise<void> => new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

before(async () => {
  certificates = await makeCertificates(folder.path, ['onboard.test', 'autoconfig.onboard.test', 'db.test']);
  site = createServer({ cert: certificates.certPem, key: certificates.keyPem }, (request, response) => {
    paths.push(`${request.headers.host ?? ''}${request.url ?? ''}`);
    const found = request.headers.host === 'autoconfig.onboard.test';
    response.writeHead(found ? 200 : 404, { 'content-type': 'text/xml' }).end(found ? FILE : '');
  });
  await listen(site);
  proxy = createProxy();
  proxy.on('connect', (request, client: Socket) => {
    tunnels.push(request.url ?? '');
    const upstream = connect(portOf(site), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    client.on('error', () => upstream.destroy());
    client.on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  await listen(proxy);
  await postern(home, ['init', '--json']);
});
after(() => {
  site?.close();
  proxy?.close();
  folder.remove();
});

const run = (args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  postern(home, args, { ...options, env: { HTTPS_PROXY: `http://127.0.0.1:${portOf(proxy)}`, NO_PROXY: '' } });

test('what the domain’s own file says, and who was asked', async () => {
  const { stdout, stderr } = await run(['discover', 'alice@onboard.test', '--ca', certificates.caPath, '--json']);
  const { candidates } = JSON.parse(stdout.toString()) as {
    candidates: { preset: string; issuer: string; mail: object }[];
  };
  assert.deepEqual(candidates[0]?.mail, {
    imap: { host: 'imap.onboard.test', port: 993, tls: 'implicit' },
    smtp: { host: 'smtp.onboard.test', port: 465, tls: 'implicit' },
  });
  assert.equal(candidates[0].issuer, 'https://id.onboard.test');
  assert.match(stderr, /next: postern register oidc https:\/\/id\.onboard\.test/);
  assert.deepEqual([...new Set(tunnels)].toSorted(), ['autoconfig.onboard.test:443', 'onboard.test:443']);
  assert.ok(paths.includes('autoconfig.onboard.test/mail/config-v1.1.xml?emailaddress=alice%40onboard.test'));
});

test('a certificate that is not trusted is no answer', async () => {
  const { stderr } = await run(['discover', 'alice@onboard.test'], { accept: [69] });
  assert.match(stderr, /nothing is known about onboard\.test/);
});

test('a database is asked only when told to, and hears no name', async () => {
  await run(['discover', 'secret-name@onboard.test', '--ca', certificates.caPath, '--ispdb', 'https://db.test/v1.1/']);
  assert.deepEqual(
    paths.filter((path) => path.startsWith('db.test')),
    ['db.test/v1.1/onboard.test'],
  );
  const refused = await run(['discover', 'a@onboard.test', '--ispdb', 'http://db.test/'], { accept: [64] });
  assert.match(refused.stderr, /next: write it as https:/);
});

test('application add --for takes servers and issuer from it', async () => {
  await run([
    'application',
    'add',
    'own',
    '--for',
    'alice@onboard.test',
    '--client-id',
    'x',
    '--ca',
    certificates.caPath,
  ]);
  const { stdout } = await run(['application', 'show', 'own', '--json']);
  const shown = JSON.parse(stdout.toString()) as { issuer: string; mail: { imap: { host: string } } };
  assert.equal(shown.issuer, 'https://id.onboard.test');
  assert.equal(shown.mail.imap.host, 'imap.onboard.test');
});

test('what is no address is refused', async () => {
  const { stderr } = await run(['discover', 'not an address', '--json'], { accept: [64] });
  assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'discover.address');
});
