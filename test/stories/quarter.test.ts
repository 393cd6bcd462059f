/**
 * A third of a year in a minute: three mailboxes, mail programs that come every day, and everything that happens to
 * grants: an outage, a password change, a secret that ends, a laptop that sleeps. No program is ever asked for a password,
 * and whatever needs a person is announced.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createAppPassword } from '../../src/access/app-password.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import { Secret } from '../../src/base/secret.ts';
import { addCredential } from '../../src/oauth/credentials.ts';
import { startSandbox } from '../../src/sandbox/index.ts';
import { certificateFiles } from '../../src/server/certificate.ts';
import { GivenCertificate, readCertificate } from '../../src/server/certificate-in-use.ts';
import { composeGateway } from '../../src/server/gateway.ts';
import { startConsole } from '../../src/server/http.ts';
import { consentLink } from '../../src/onboard/consent-link.ts';
import { openConsentPages } from '../../src/server/consent-sign-in.ts';
import { openMetrics } from '../../src/server/metrics.ts';
import type { NoticeChannel, OutgoingNotice } from '../../src/server/notice/channel.ts';
import { startRenewal } from '../../src/server/renewal.ts';
import { PROTOCOLS, type Protocol } from '../../src/store/protocols.ts';
import { LeapClock } from '../bed/leap-clock.ts';
import { openTenantHome } from '../bed/tenant-home.ts';
import { Wire } from '../bed/wire.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const DAYS = 120;

const OUTAGE = 20;
const PASSWORD_CHANGE = 40;
const SECRET_LIVES = 75;
const NEW_SECRET = 70;
const LAPTOP_SLEEPS = 90;

const EVENTFUL = [0, OUTAGE, PASSWORD_CHANGE, NEW_SECRET, SECRET_LIVES, LAPTOP_SLEEPS, DAYS - 1];

/** One sign-in, as a mail program sees it. */
interface Visit {
  readonly day: number;
  readonly hour: number;
  readonly who: string;
  readonly protocol: Protocol;
  readonly reply: string;
}

/** What makes mail programs ask for a password. */
const ASKS_FOR_PASSWORD = /AUTHENTICATIONFAILED|-ERR \[AUTH\]|\b535\b|EXPIRED/;
const WORKS = /^(?:a OK|\+OK|235)/m;

test('a hundred and twenty days', { timeout: 280_000 }, async (t) => {
  const closers: (() => Promise<void> | void)[] = [];
  t.after(async () => {
    for (const close of closers.reverse()) await close();
  });
  const clock = new LeapClock(Date.now());
  const start = clock.now();
  const today = (): number => Math.floor((clock.now() - start) / DAY);
  const sandbox = await startSandbox({ clock });
  closers.push(() => sandbox.close());
  const [alice, bob] = sandbox.users.map(({ address }) => address) as [string, string];
  const robot = sandbox.shared;
  const home = await openTenantHome(sandbox, {
    clock,
    // What a disk costs is no part of this story.
    config: { database: new Secret('sqlite::memory:') },
  });
  closers.push(() => home.close());
  const { instance } = home;
  const { store } = instance;

  const told: (OutgoingNotice & { readonly day: number })[] = [];
  const channel: NoticeChannel = {
    name: 'command',
    deliver: (notice) => {
      told.push({ ...notice, day: today() });
      return Promise.resolve();
    },
  };

  // alice: a person at a desktop. bob: consented once, then idle for the whole time. robot: the application’s own secret.
  const secret = sandbox.addSecret(sandbox.clients.confidential.id, SECRET_LIVES);
  const desktop = await home.application();
  const service = await home.application({
    clientId: sandbox.clients.confidential.id,
    credential: { type: 'secret', secret: new Secret(secret.secret) },
    secretExpiresAt: clock.now() + SECRET_LIVES * DAY,
  });
  await home.connect(desktop, { address: alice });
  await home.connect(desktop, { address: bob });
  await home.connect(service, { address: robot, flow: 'client-secret' });
  const { password } = await createAppPassword(instance, {
    label: 'programs',
    mailboxes: ['*'],
    protocols: PROTOCOLS,
    networks: [],
  });

  const metrics = openMetrics('test');
  const listeners = PROTOCOLS.map((protocol) => ({ protocol, tls: 'none', host: '127.0.0.1', port: 0 }) as const);
  const certificate = new GivenCertificate(readCertificate(await certificateFiles(instance.config, clock)));
  const composed = await composeGateway(instance, listeners, certificate, metrics);
  closers.push(async () => {
    const drained = composed.drain();
    clock.leap(MINUTE);
    await drained;
  });
  const console = await startConsole({
    host: '127.0.0.1',
    port: 0,
    metrics: () => metrics.registry.metrics(),
    ready: () => Promise.resolve([]),
    pages: (request) => pages.handle(request),
  });
  closers.push(() => console.close());
  const base = `http://localhost:${console.port}/`;
  const pages = openConsentPages(instance, base);
  closers.push(() => pages.close());
  const renewal = startRenewal(instance, {
    registry: metrics.registry,
    channels: [channel],
    link: (address) => consentLink(instance, base, address),
  });

  closers.push(() => renewal.stop());

  /** Everything that can happen without more time has happened. */
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    while (renewal.duty.inFlight > 0) await delay(1);
  }
  let step = 10 * MINUTE;
  async function pass(ms: number, by = step): Promise<void> {
    for (let left = ms; left > 0; left -= by) {
      clock.leap(Math.min(by, left));
      await settle();
    }
  }

  const visits: Visit[] = [];
  async function visit(who: string): Promise<readonly Visit[]> {
    const found = await Promise.all(
      composed.gateway.addresses.map(async ({ protocol, host, port }): Promise<Visit> => {
        const wire = await Wire.open({ host, port });
        const plain = Buffer.from(`\0${who}\0${password.reveal()}`).toString('base64');
        await wire.until(/^(?:\* OK|\+OK|220).*\r\n/);
        if (protocol === 'imap') wire.send(`a AUTHENTICATE PLAIN ${plain}\r\n`);
        else if (protocol === 'pop3') wire.send(`AUTH PLAIN ${plain}\r\n`);
        else {
          wire.send('EHLO program\r\n');
          await wire.until(/^250 .*\r\n/m);
          wire.send(`AUTH PLAIN ${plain}\r\n`);
        }
        const pattern = { imap: /^a .*\r\n/m, pop3: /^(?:\+OK|-ERR).*\r\n/m, smtp: /^\d{3} .*\r\n/m }[protocol];
        let reply = await wire.until(pattern);
        if (protocol === 'smtp' && reply.startsWith('235')) {
          wire.send(`MAIL FROM:<${who}>\r\n`);
          const mail = await wire.until(pattern);
          if (!mail.startsWith('250')) reply = mail;
        }
        wire.destroy();
        return { day: today(), hour: Math.round(((clock.now() - start) % DAY) / HOUR), who, protocol, reply };
      }),
    );
    visits.push(...found);
    return found;
  }
  const works = (found: readonly Visit[]): boolean => found.every(({ reply }) => WORKS.test(reply));
  const describe = (found: readonly Visit[]): string => found.map((one) => JSON.stringify(one)).join('\n');

  const downDuring = new Set<Visit>();
  const brokenDuring = new Set<Visit>();
  for (let day = 0; day < DAYS; day++) {
    // On quiet days tokens live for twelve hours and time goes faster, to spare the machine.
    const eventful = EVENTFUL.some((first) => day >= first - 1 && day <= first + 1);
    const programs = eventful || day % 5 === 0 ? [alice, robot] : [alice];
    step = (eventful ? 10 : 30) * MINUTE;
    sandbox.setTokenLifetime(eventful ? undefined : 12 * 3600);
    if (day === OUTAGE) {
      await pass(9 * HOUR);
      sandbox.faults.set('authority-unavailable');
      // Tokens are renewed early enough that an outage goes unnoticed for ten minutes, and mostly for longer.
      await pass(5 * MINUTE);
      for (const who of programs) assert.ok(works(await visit(who)));
      for (let hour = 1; hour <= 6; hour++) {
        await pass(hour === 1 ? HOUR - 5 * MINUTE : HOUR);
        for (const who of programs) for (const one of await visit(who)) downDuring.add(one);
      }
      sandbox.faults.clear();
      await pass(2 * MINUTE, MINUTE);
      for (const who of programs) {
        const found = await visit(who);
        assert.ok(works(found), `two minutes after the outage:\n${describe(found)}`);
      }
      await pass(9 * HOUR);
      continue;
    }
    if (day === LAPTOP_SLEEPS) {
      await pass(4 * HOUR);
      clock.suspend(14 * HOUR);
      // It wakes up; its owner opens the mail program half a minute later.
      await pass(30_000, 10_000);
      for (const who of programs) assert.ok(works(await visit(who)));
      await pass(6 * HOUR);
      continue;
    }
    if (day === NEW_SECRET) {
      const next = sandbox.addSecret(sandbox.clients.confidential.id, 180);
      const credential = { type: 'secret', secret: new Secret(next.secret) } as const;
      await addCredential(instance, service.id, credential, { secretExpiresAt: clock.now() + 180 * DAY });
    }
    await pass(9 * HOUR);
    for (const who of programs) await visit(who);
    if (day === PASSWORD_CHANGE) {
      sandbox.changePassword(alice);
      await pass(8 * HOUR);
      for (const one of await visit(alice)) brokenDuring.add(one);
      assert.ok(works(await visit(robot)));
      // The owner opens the link of the notice.
      const { link } = told.findLast(({ body }) => body.type === 'grant.needs-consent')!.body;
      const started = await fetch(link!, { method: 'POST', redirect: 'manual' });
      const answer = await sandbox.approve(started.headers.get('location')!, alice);
      const cookie = started.headers.get('set-cookie')!.split(';')[0]!;
      assert.equal((await fetch(answer, { headers: { cookie } })).status, 200);
      const found = await visit(alice);
      assert.ok(works(found), describe(found));
      await pass(7 * HOUR);
      continue;
    }
    await pass(8 * HOUR);
    if (eventful) for (const who of programs) await visit(who);
    await pass(7 * HOUR);
  }

  // No program was asked for a password, whatever happened.
  assert.deepEqual(
    visits.filter(({ reply }) => ASKS_FOR_PASSWORD.test(reply)),
    [],
  );
  // Outside the outage and the changed password every single sign-in worked.
  const failed = visits.filter((one) => !WORKS.test(one.reply) && !downDuring.has(one) && !brokenDuring.has(one));
  assert.deepEqual(failed, []);
  assert.ok(visits.length > 3 * DAYS, String(visits.length));
  // During the outage: the tokens at hand while they last, then the truth.
  assert.ok([...downDuring].filter(({ reply }) => !WORKS.test(reply)).length > 10);
  for (const { reply } of downDuring)
    assert.match(reply, /^(?:a OK|\+OK|235|a NO \[UNAVAILABLE\]|-ERR \[SYS\/TEMP\]|450)/m);
  for (const { reply } of brokenDuring) assert.match(reply, /^(?:a NO \[CONTACTADMIN\]|-ERR \[SYS\/PERM\]|450)/m);

  // The one who did not use his mailbox for a third of a year, longer than the provider remembers idle grants.
  assert.ok(works(await visit(bob)));

  // What was told, when, once.
  const story = told.map(({ day, status, body }) => `day ${day}: ${body.type} ${status}`);
  assert.deepEqual(story, [
    `day ${OUTAGE}: provider.failing raised`,
    `day ${OUTAGE}: provider.failing resolved`,
    `day ${PASSWORD_CHANGE}: grant.needs-consent raised`,
    `day ${PASSWORD_CHANGE}: grant.needs-consent resolved`,
    `day ${SECRET_LIVES - 30}: credential.ending raised`,
    `day ${SECRET_LIVES - 14}: credential.ending raised`,
    `day ${SECRET_LIVES - 7}: credential.ending raised`,
    `day ${NEW_SECRET}: credential.ending resolved`,
  ]);
  const consent = told.find(({ body }) => body.type === 'grant.needs-consent')!.body;
  assert.match(consent.summary, /alice@contoso\.test .*password/);
  assert.match(consent.code ?? '', /AADSTS50173/);

  // Every grant was renewed, and none in a storm.
  for (const grant of await store.grants.list()) {
    assert.equal(grant.state.type, 'active');
    const times = home.events.flatMap((event) =>
      event.type === 'token.requested' && event.grantId === grant.id && event.outcome === 'ok' ? [event] : [],
    ).length;
    const most = (DAYS * 24 * 60) / 41;
    const least = DAYS * 2;
    assert.ok(times < most && times > least, `${grant.identity}: ${times} renewals`);
  }
  const refusals = home.events.filter((event) => event.type === 'credential.refused');
  assert.ok(refusals.length <= 1, 'the old secret was known to be over');
  assert.ok(home.events.some((event) => event.type === 'clock.jumped' && Math.abs(event.byMs - 14 * HOUR) < MINUTE));
  assert.equal((await store.appPasswords.list()).length, 1);
  await instance.audit.flush();
  assert.equal((await verifyChain(store.audit)).type, 'intact');
});
