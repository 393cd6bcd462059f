import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { privateFolder } from '../../../test/bed/process.ts';
import { openTenantHome, type TenantHome } from '../../../test/bed/tenant-home.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { isError } from '../../base/error.ts';
import { oauthError } from '../../oauth/errors.ts';
import { suspendGrant } from '../../oauth/suspension.ts';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { type RunningRenewal, startRenewal } from '../renewal.ts';
import type { NoticeBody } from './notice-body.ts';
import { noticesSchema } from '../config-notices.ts';
import { openChannels } from './channels.ts';

const ALICE = 'alice@contoso.test';
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const secret = randomBytes(32);

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}
interface Payload {
  readonly type: string;
  readonly timestamp: string;
  readonly data: NoticeBody & { readonly notice: string; readonly status: string };
}

describe('notices', () => {
  const scratch = privateFolder();
  const received: Received[] = [];
  const answers: number[] = [];
  const log = join(scratch.path, 'log');
  const program = join(scratch.path, 'tell.mjs');
  let receiver: Server;
  let sandbox: Sandbox;
  let clock: ManualClock;
  let home: TenantHome;
  let renewal: RunningRenewal | undefined;

  before(async () => {
    receiver = createServer((request, response) => {
      let text = '';
      request.on('data', (piece: Buffer) => void (text += piece.toString()));
      request.on('end', () => {
        received.push({ headers: request.headers, text });
        response.writeHead(answers.shift() ?? 204).end();
      });
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    writeFileSync(join(scratch.path, 'secret'), `whsec_${secret.toString('base64')}\n`, { mode: 0o600 });
    writeFileSync(
      program,
      `import { appendFileSync } from 'node:fs';
let input = '';
for await (const piece of process.stdin) input += piece;
const told = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('POSTERN_')));
appendFileSync(process.argv[2], JSON.stringify({ told, input: JSON.parse(input), environment: Object.keys(process.env) }) + '\\n');
`,
    );
  });
  after(() => {
    receiver.close();
    scratch.remove();
  });
  beforeEach(async () => {
    received.length = 0;
    answers.length = 0;
    clock = new ManualClock(Date.now());
    sandbox = await startSandbox({ clock });
  });
  afterEach(async () => {
    await renewal?.stop();
    renewal = undefined;
    await home.close();
    await sandbox.close();
  });

  async function open(notices: object): Promise<void> {
    const { readConfig } = await import('../config.ts');
    const { homeOf } = await import('../home.ts');
    const defaults = readConfig(homeOf({}, scratch.path), {});
    home = await openTenantHome(sandbox, { clock, config: { notices: { ...defaults.notices, ...notices } } });
  }
  const webhook = () => ({
    webhook: {
      url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`,
      secretFile: join(scratch.path, 'secret'),
    },
  });
  const command = (...run: string[]) => ({ command: { run, timeoutMs: 5000 } });
  const start = (): RunningRenewal =>
    (renewal = startRenewal(home.instance, {
      registry: new Registry(),
      channels: openChannels(home.instance),
      link: (address) => Promise.resolve(`https://postern.test/consent/${address}`),
    }));
  /** Looks once, letting time pass for whoever waits for another's renewal. */
  async function look(): Promise<void> {
    const looking = { done: false };
    const work = renewal!.watch().finally(() => (looking.done = true));
    while (!looking.done) await clock.advance(1);
    await work;
  }
  const payloads = (): Payload[] => received.map(({ text }) => JSON.parse(text) as Payload);
  /** What arrived, lines unfolded and soft breaks of quoted-printable joined. */
  const inbox = (address: string): readonly string[] =>
    sandbox.mailStore.find(address)!.inbox.messages.map(({ raw }) =>
      raw
        .toString()
        .replace(/=\r\n/g, '')
        .replace(/\r\n[ \t]/g, ' ')
        .replaceAll('=3D', '='),
    );
  const told = (): readonly string[] => payloads().map(({ type }) => type);

  /** The grant is revoked at the provider and that is found out. */
  async function revoke(): Promise<void> {
    sandbox.revokeRefreshTokens(ALICE);
    clock.jump(2 * 60 * MINUTE);
    const mailbox = (await home.instance.store.mailboxes.find(ALICE))!;
    await assert.rejects(home.instance.tokens.accessToken(mailbox, 'imap'), { code: 'oauth.needs-consent' });
  }

  test('a revoked consent is told once by a signed webhook, and its end as well', async () => {
    await open(webhook());
    const application = await home.application();
    await home.connect(application, { address: ALICE });
    const { watch } = start();
    await watch();
    assert.deepEqual(told(), []);
    await revoke();
    for (let n = 0; n < 3; n++) await watch();
    assert.deepEqual(told(), ['grant.needs-consent.raised']);
    const { data, timestamp } = payloads()[0]!;
    assert.deepEqual(data.mailboxes, [ALICE]);
    assert.match(data.summary, /alice@contoso\.test has to be signed in to again: .*AADSTS50173/);
    assert.match(data.remedy, /postern mailbox reconsent alice@contoso\.test/);
    assert.equal(data.link, 'https://postern.test/consent/alice@contoso.test');
    assert.equal(timestamp, new Date(clock.now()).toISOString());

    // As a receiver checks it: Standard Webhooks.
    const { headers, text } = received[0]!;
    const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${text}`;
    const right = createHmac('sha256', secret).update(signed).digest('base64');
    assert.equal(headers['webhook-signature'], `v1,${right}`);
    assert.ok(Math.abs(Number(headers['webhook-timestamp']) - clock.now() / 1000) <= 1);

    // Another process, and the same one after a restart, tell nobody again.
    await renewal!.stop();
    const second = start();
    await second.watch();
    assert.equal(received.length, 1);
    await home.connect(application, { address: ALICE });
    await second.watch();
    assert.deepEqual(told(), ['grant.needs-consent.raised', 'grant.needs-consent.resolved']);
    assert.equal(payloads()[1]!.data.notice, data.notice);
    assert.notEqual(received[1]!.headers['webhook-id'], headers['webhook-id']);
    const records = await home.instance.store.audit.latest({ limit: 100 });
    const kinds = records.map(({ type }) => type).filter((type) => type.startsWith('notice.r'));
    assert.deepEqual(kinds, ['notice.resolved', 'notice.raised']);
    await revoke();
    await second.watch();
    assert.equal(told().at(-1), 'grant.needs-consent.raised', 'the same may happen again');
  });

  test('a receiver that fails is tried again after seconds, minutes and hours, and given up after days', async () => {
    await open(webhook());
    await home.connect(await home.application(), { address: ALICE });
    const { watch } = start();
    answers.push(500, 503, 302, 204);
    await revoke();
    await watch();
    assert.equal(received.length, 1);
    await watch();
    assert.equal(received.length, 1, 'not at once');
    for (const wait of [5000, 5 * MINUTE, 30 * MINUTE]) {
      clock.jump(wait);
      await watch();
    }
    assert.equal(received.length, 4);
    assert.equal(new Set(received.map(({ headers }) => headers['webhook-id'])).size, 1, 'the same message');
    clock.jump(30 * DAY);
    await watch();
    assert.equal(received.length, 4, 'it has arrived');

    answers.push(...Array.from({ length: 30 }, () => 500));
    await home.connect((await home.instance.store.applications.list())[0]!, { address: ALICE });
    for (let n = 0; n < 20; n++) {
      await watch();
      clock.jump(25 * 60 * MINUTE);
    }
    assert.equal(received.length, 4 + 10);
    const [lost] = await home.instance.store.audit.latest({ type: 'notice.undeliverable', limit: 1 });
    assert.match(String(lost?.data['reason']), /answered 500/);
  });

  test('a receiver that is gone (410) is not asked again', async () => {
    await open(webhook());
    await home.connect(await home.application(), { address: ALICE });
    const { watch } = start();
    answers.push(410);
    await revoke();
    for (let n = 0; n < 5; n++) {
      await watch();
      clock.jump(DAY);
    }
    assert.equal(received.length, 1);
  });

  test('a command is told in variables and on standard input, without our environment', async () => {
    await open(command(process.execPath, program, log));
    await home.connect(await home.application(), { address: ALICE });
    process.env['POSTERN_MASTER_KEY'] = 'must not be seen';
    try {
      const { watch } = start();
      await revoke();
      await watch();
    } finally {
      delete process.env['POSTERN_MASTER_KEY'];
    }
    const seen = JSON.parse(readFileSync(log, 'utf8')) as {
      told: Record<string, string>;
      input: Payload;
      environment: string[];
    };
    assert.equal(seen.told['POSTERN_NOTICE_TYPE'], 'grant.needs-consent');
    assert.equal(seen.told['POSTERN_NOTICE_STATUS'], 'raised');
    assert.equal(seen.told['POSTERN_NOTICE_MAILBOXES'], ALICE);
    assert.match(seen.told['POSTERN_NOTICE_LINK']!, /^https:/);
    assert.equal(seen.input.data.summary, seen.told['POSTERN_NOTICE_SUMMARY']);
    assert.ok(!seen.environment.includes('POSTERN_MASTER_KEY'));
  });

  test('no shell stands between: what a provider says cannot be run', async () => {
    const mark = join(scratch.path, 'run');
    await open(command(process.execPath, program, `${log}-2; touch ${mark} $(touch ${mark})`));
    await home.connect(await home.application(), { address: ALICE });
    const { watch } = start();
    await revoke();
    await watch();
    assert.equal(existsSync(mark), false);
  });

  test('a command that hangs is killed, one that fails says why, one that does not exist is told', async () => {
    const { commandChannel } = await import('./command.ts');
    const body: NoticeBody = {
      type: 'provider.failing',
      summary: 's',
      reason: 'r',
      remedy: 'm',
      mailboxes: [],
      mailboxCount: 0,
    };
    const notice = { id: 'n', status: 'raised', at: 0, body } as const;
    const never = new AbortController().signal;
    const fails = async (argv: string[], text: RegExp, timeoutMs = 20_000): Promise<void> => {
      await assert.rejects(commandChannel(argv, timeoutMs, process.env).deliver(notice, never), (error) => {
        assert.ok(isError(error, 'server.notice-delayed'));
        assert.match(error.message, text);
        return true;
      });
    };
    await fails([process.execPath, '-e', 'setInterval(() => undefined, 1000)'], /longer than 300 ms/, 300);
    await fails(['/bin/sh', '-c', 'echo first >&2; echo the reason >&2; exit 3'], /ended with 3: the reason/);
    await fails(['/bin/sh', '-c', 'sleep 20 & echo the reason >&2; exit 3'], /ended with 3: the reason/);
    // Slow to be read: its words are still in the pipe when it has ended.
    await fails(['/bin/sh', '-c', 'yes words | head -c 60000 >&2; echo the reason >&2; exit 3'], /3: the reason/);
    await fails(['/no/such/program'], /cannot be run/);
    await open({});
  });

  test('a secret is counted down in four steps, each told once, and quiet follows a new one', async () => {
    await open(webhook());
    const { id, secret: value } = sandbox.clients.confidential;
    const { Secret } = await import('../../base/secret.ts');
    const application = await home.application({
      clientId: id,
      credential: { type: 'secret', secret: new Secret(value) },
      secretExpiresAt: clock.now() + 40 * DAY,
    });
    await home.connect(application, { address: ALICE });
    const { watch } = start();
    for (let day = 0; day <= 41; day++) {
      await watch();
      clock.jump(DAY);
    }
    const endings = payloads().filter(({ type }) => type === 'credential.ending.raised');
    assert.deepEqual(
      endings.map(({ data }) => /in ([^,]+)|ended/.exec(data.summary)?.[1] ?? 'ended'),
      ['30 days', '14 days', '7 days', '1 day', 'ended'],
    );
    assert.ok(endings.every(({ data }) => data.mailboxes[0] === ALICE && data.application === application.name));
    assert.ok(!told().includes('credential.ending.resolved'));
    const { addCredential } = await import('../../oauth/credentials.ts');
    const next = { type: 'secret', secret: new Secret('another') } as const;
    await addCredential(home.instance, application.id, next, { secretExpiresAt: clock.now() + 180 * DAY });
    await watch();
    assert.equal(told().at(-1), 'credential.ending.resolved');
  });

  test('an outage is one notice for all its mailboxes, not before it lasts, and a suspension is none', async () => {
    await open(webhook());
    const application = await home.application();
    const addresses = sandbox.users.map(({ address }) => address).slice(0, 3);
    for (const address of addresses) await home.connect(application, { address });
    const { store } = home.instance;
    const { afterFailure } = await import('../../oauth/renewal-record.ts');
    const down = oauthError('oauth.provider-unreachable', 'connection refused');
    for (const grant of await store.grants.list()) {
      let renewal = grant.renewal;
      for (let n = 0; n < 4; n++) ({ renewal } = afterFailure({ ...grant, renewal }, down, undefined, clock.now()));
      await store.grants.update(grant.id, grant.generation, { renewal, renewAt: clock.now() + 365 * DAY });
    }
    const { watch } = start();
    await watch();
    assert.deepEqual(told(), []);
    clock.jump(16 * MINUTE);
    await watch();
    assert.deepEqual(told(), ['provider.failing.raised']);
    const { data } = payloads()[0]!;
    assert.deepEqual([data.mailboxCount, [...data.mailboxes]], [addresses.length, addresses.toSorted()]);
    assert.match(data.summary, /has given no tokens to 2 mailboxes since .*connection refused/);
    for (const grant of await store.grants.list()) await suspendGrant(home.instance, grant.id, 'on leave');
    await watch();
    assert.deepEqual(told(), ['provider.failing.raised', 'provider.failing.resolved']);
  });

  test('a mail goes out through another mailbox than the one it is about, and so does the word that it is over', async () => {
    await open({ mail: { to: ['bob@contoso.test'], owners: true } });
    const application = await home.application();
    await home.connect(application, { address: ALICE });
    await home.connect(application, { address: 'bob@contoso.test' });
    const before = inbox('bob@contoso.test').length;
    start();
    await revoke();
    await look();
    const mails = inbox('bob@contoso.test').slice(before);
    assert.equal(mails.length, 1);
    const text = mails[0]!;
    assert.match(text, /^From: Postern <bob@contoso\.test>/m);
    assert.match(text, /^Subject: Postern: alice@contoso\.test has to be signed in to again/m);
    assert.match(text, /^To: bob@contoso\.test, alice@contoso\.test/m, 'its owner, too');
    assert.match(text, /^Auto-Submitted: auto-generated/m);
    assert.match(text, /postern mailbox reconsent alice@contoso\.test/);
    assert.match(text, /https:\/\/postern\.test\/consent\/alice@contoso\.test/);
    await look();
    assert.equal(inbox('bob@contoso.test').length, before + 1);
    await home.connect(application, { address: ALICE });
    await look();
    const over = inbox('bob@contoso.test').at(-1)!;
    assert.match(over, /^Subject: Postern: over: alice/m);
    const id = /^Message-ID: (<.+>)/im.exec(text)![1]!;
    assert.ok(over.includes(`In-Reply-To: ${id}`));
  });

  test('without a mailbox that works a mail waits', async () => {
    await open({ mail: { to: ['admin@elsewhere.test'], from: ALICE } });
    await home.connect(await home.application(), { address: ALICE });
    await home.connect((await home.instance.store.applications.list())[0]!, { address: 'bob@contoso.test' });
    start();
    await revoke();
    await look();
    const { store } = home.instance;
    const raised = await store.notices.open();
    assert.equal(raised.length, 1);
    clock.jump(10_000);
    const now = clock.now();
    const [waiting] = await store.notices.claimDeliveries({ now, until: now + 1, limit: 1 });
    assert.deepEqual([waiting?.channel, waiting?.attempts], ['mail', 1]);
  });

  test('a webhook in the open or without a proper secret is refused at the start', async () => {
    await open({});
    const { instance } = home;
    const refused = (webhook: object): void => {
      const config = { ...instance.config, notices: { webhook } } as typeof instance.config;
      assert.throws(
        () => openChannels({ ...instance, config }),
        (error) => isError(error, 'server.config'),
      );
    };
    const secretFile = join(scratch.path, 'secret');
    const plain = noticesSchema.safeParse({ webhook: { url: 'http://example.com/hook', secretFile } });
    assert.match(plain.error?.issues[0]?.message ?? '', /https/);
    refused({ url: 'https://example.com/hook', secretFile: 'missing' });
    writeFileSync(join(scratch.path, 'weak'), 'whsec_c2hvcnQ=\n');
    refused({ url: 'https://example.com/hook', secretFile: join(scratch.path, 'weak') });
  });
});
