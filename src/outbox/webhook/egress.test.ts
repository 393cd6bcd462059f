import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { fetch } from 'undici';
import { isError } from '../../base/error.ts';
import { Egress } from './egress.ts';

const refused = (error: unknown): boolean => {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return isError(cause, 'outbox.webhook-address');
};

test('only public addresses by https, unless a network is named', () => {
  const egress = new Egress({ allow: [] });
  egress.check('https://example.com/hook?x=1');
  egress.check('https://93.184.216.34:8443/');
  for (const url of [
    'http://example.com/',
    'ftp://example.com/',
    'https://user:pass@example.com/',
    'https://example.com/#x',
    'nonsense',
    'https://127.0.0.1/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://10.1.2.3/',
    'https://192.168.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://100.64.0.1/',
    'https://0.0.0.0/',
    'https://224.0.0.1/',
    'https://255.255.255.255/',
    'https://192.0.2.1/',
    'https://[::1]/',
    'https://[::]/',
    'https://[fe80::1]/',
    'https://[fd00::1]/',
    'https://[ff02::1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://[64:ff9b::a00:1]/',
    'https://[2002:a00:1::1]/',
    'https://[2001:db8::1]/',
  ])
    assert.throws(() => egress.check(url), refused, url);
  const inside = new Egress({ allow: ['10.0.0.0/8', 'fd00::/8'] });
  inside.check('http://10.1.2.3/');
  inside.check('https://[fd12::1]/');
  inside.check('https://[::ffff:10.0.0.1]/');
  assert.throws(() => inside.check('https://192.168.0.1/'), refused);
  assert.throws(() => inside.check('http://93.184.216.34/'), refused, 'plain text only to what is named');
});

test('A63: public addresses of this machine are refused as loopback is, in whatever form, unless they are named', async () => {
  const own = ['127.0.0.1', '203.0.112.7', '2a01:4f8:1::1', 'fe80::1%eth0'];
  const resolve = () => Promise.resolve([{ address: '2a01:4f8:1::1', family: 6 }]);
  const egress = new Egress({ allow: [] }, resolve, () => own);
  const urls = [
    'https://203.0.112.7/',
    'https://[2a01:4f8:1:0::1]:8443/',
    'https://[::ffff:203.0.112.7]/',
    'https://[2002:cb00:7007::]/',
  ];
  for (const url of urls) assert.throws(() => egress.check(url), refused, url);
  egress.check('https://203.0.112.8/');
  egress.check('https://[2a01:4f8:1::2]/');
  const dispatcher = await egress.agent('https:');
  await assert.rejects(fetch('https://hook.example/', { dispatcher }), refused);
  await dispatcher.close();
  const named = new Egress({ allow: ['203.0.112.7/32', '2a01:4f8:1::1/128'] }, resolve, () => own);
  for (const url of urls) named.check(url);
});

test('S14: an IPv4 address is judged as one in whatever IPv6 form it comes', () => {
  const egress = new Egress({ allow: [] });
  const inside = new Egress({ allow: ['10.0.0.0/8'] });
  const forms = (a: string, hex: string): readonly string[] => [
    `::${a}`,
    `::ffff:${a}`,
    `::ffff:0:${a}`,
    `64:ff9b::${a}`,
    `2002:${hex}::`,
    `2002:${hex}::1`,
    `2a00:1450::5efe:${a}`,
    `2a00:1450::200:5efe:${a}`,
  ];
  for (const [address, hex] of [
    ['127.0.0.1', '7f00:1'],
    ['10.0.0.1', 'a00:1'],
    ['169.254.169.254', 'a9fe:a9fe'],
    ['192.168.1.1', 'c0a8:101'],
    ['0.0.0.1', '0:1'],
  ] as const)
    for (const form of forms(address, hex)) {
      assert.throws(() => egress.check(`https://[${form}]/`), refused, form);
      if (address === '10.0.0.1') inside.check(`https://[${form}]/`);
    }
  for (const form of ['64:ff9b:1::a00:1', '2001::1', '4000::1', '5f00::1', '8000::1', 'fec0::1', '100::1', '::2'])
    assert.throws(() => egress.check(`https://[${form}]/`), refused, form);
  for (const form of [...forms('93.184.216.34', '5db8:d822'), '2a00:1450:4001:81b::200e'])
    egress.check(`https://[${form}]/`);
});

test('A92: neither the channel to the host of a cloud nor a port of another service is reached, by address or name', async () => {
  const egress = new Egress(
    { allow: [] },
    () => Promise.resolve([{ address: '168.63.129.16', family: 4 }]),
    () => [],
  );
  for (const url of [
    'https://168.63.129.16/',
    'https://168.63.129.16:32526/',
    'https://[::ffff:168.63.129.16]/',
    'https://161.26.0.10/',
    'https://166.9.1.1/',
    'https://93.184.216.34:25/',
    'https://93.184.216.34:80/',
    'https://93.184.216.34:993/',
    'https://[2a00:1450::1]:22/',
    'https://hook.example:25/',
  ])
    assert.throws(() => egress.check(url), refused, url);
  for (const url of ['https://168.63.129.17/', 'https://hook.example:8443/', 'https://93.184.216.34:1024/'])
    egress.check(url);
  const dispatcher = await egress.agent('https:');
  await assert.rejects(fetch('https://hook.example/', { dispatcher }), refused);
  await dispatcher.close();

  // A name may be inside what is allowed, and is judged with its port where it leads.
  const inside = new Egress(
    { allow: ['10.0.0.0/8'] },
    () => Promise.resolve([{ address: '93.184.216.34', family: 4 }]),
    () => [],
  );
  inside.check('https://10.1.2.3:636/');
  inside.check('https://hook.example:636/');
  const other = await inside.agent('https:');
  await assert.rejects(fetch('https://hook.example:853/', { dispatcher: other }), refused);
  await other.close();
});

test('a name is judged by every address it has, at the moment of connecting', async () => {
  const server = createServer((_, response) => response.end('inside')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://rebind.test:${port}/`;
  const asked: string[] = [];
  let answers: readonly { address: string; family: number }[] = [];
  const resolve = async (host: string) => {
    asked.push(host);
    return answers;
  };
  const use = async (allow: readonly string[]): Promise<string> => {
    const dispatcher = await new Egress({ allow }, resolve).agent('http:');
    try {
      return await (await fetch(url, { dispatcher })).text();
    } finally {
      await dispatcher.destroy();
    }
  };
  try {
    answers = [{ address: '127.0.0.1', family: 4 }];
    await assert.rejects(use([]), refused);
    await assert.rejects(use(['10.0.0.0/8']), refused);
    assert.equal(await use(['127.0.0.0/8']), 'inside');
    answers = [...answers, { address: '::1', family: 6 }];
    await assert.rejects(use(['127.0.0.0/8']), refused, 'one wrong address is enough');
    answers = [{ address: '93.184.216.34', family: 4 }];
    await assert.rejects(use([]), refused, 'a public address goes by https, also under a name');
    assert.ok(asked.length >= 4 && asked.every((host) => host === 'rebind.test'));
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
