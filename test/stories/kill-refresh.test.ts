/** kill -9 around a refresh, at a server that rotates strictly: what was answered and used is never lost, nothing is ever damaged. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createServer } from 'node:tls';
import { createHome, type Home } from '../bed/installation.ts';
import { ALICE, type MailSite, startMailSite } from '../bed/mail-site.ts';
import { without } from '../bed/need.ts';
import { Wire } from '../bed/wire.ts';

const skip = without('dovecot-imapd', 'postfix');
/** Seconds: over before anybody signs in. */
const TOO_SHORT = 1;
/** Milliseconds between the authority's answer and the kill. */
const SWEEP = [0, 4, 8, 16, 32, 1000];

let site: MailSite;
before(async () => {
  if (!skip) site = await startMailSite('jwt');
});
after(async () => {
  await site?.stop();
});

/** A home whose only token counts as expired. */
async function expired(overrides: Readonly<Record<string, unknown>> = {}): Promise<Home> {
  site.authority.ttl = TOO_SHORT;
  const home = await createHome({
    ...site,
    application: { ...site.application, settings: { ...site.application.settings, ...overrides } },
  });
  site.authority.ttl = 3600;
  await delay(TOO_SHORT * 1000);
  return home;
}

/** Tries to sign in at a fresh process; gives the tagged answer. */
async function signInAfterwards(home: Home): Promise<string> {
  home.endLeases();
  const serving = await home.serve();
  try {
    const wire = await Wire.open(serving.door.imap);
    await wire.until(/^\* OK .*\r\n/);
    wire.send(`a1 LOGIN ${ALICE} ${home.password}\r\n`);
    const answer = /^a1 .*/m.exec(await wire.until(/^a1 .*\r\n/m))![0];
    wire.destroy();
    return answer;
  } finally {
    await serving.stop();
  }
}

async function startSignIn(door: { readonly host: string; readonly port: number }, password: string): Promise<Wire> {
  const wire = await Wire.open(door);
  await wire.until(/^\* OK .*\r\n/);
  wire.send(`a1 LOGIN ${ALICE} ${password}\r\n`);
  return wire;
}

test('killed before the server rotated: the old refresh token still works', { skip }, async () => {
  const home = await expired();
  try {
    const serving = await home.serve();
    // Refused without rotating; the process dies while it considers the answer.
    site.authority.failNext.push({ status: 503 });
    const before = site.authority.requests.length;
    const wire = await startSignIn(serving.door.imap, home.password);
    for (const end = performance.now() + 10_000; site.authority.requests.length === before; await delay(1))
      assert.ok(performance.now() < end, 'the gateway asked for a new token');
    await serving.kill();
    wire.destroy();
    assert.match(await signInAfterwards(home), /^a1 OK /);
  } finally {
    site.authority.failNext.length = 0;
    home.remove();
  }
});

test('killed at the moment the new token is used: it was committed before', { skip }, async () => {
  // A mail server that does nothing but wait for the token.
  const { certPem: cert, keyPem: key, caPem: ca } = site.certificates;
  const used = Promise.withResolvers<void>();
  const trap = createServer({ cert, key }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.write('* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER] ready\r\n');
    socket.on('data', (data: Buffer) => void (/AUTHENTICATE/i.test(data.toString()) && used.resolve()));
  }).listen(0, '127.0.0.1');
  await once(trap, 'listening');
  const { port } = trap.address() as AddressInfo;
  const home = await expired({ imap: { host: 'localhost', port, tls: 'implicit', ca } });
  try {
    const serving = await home.serve();
    const wire = await startSignIn(serving.door.imap, home.password);
    await used.promise;
    await serving.kill();
    wire.destroy();
    // The same home against the real mail server again: a lost grant would need consent now.
    await home.configure(site.application.settings);
    assert.match(await signInAfterwards(home), /^a1 OK /);
  } finally {
    trap.close();
    home.remove();
  }
});

for (const ms of SWEEP)
  test(
    `killed ${ms} ms after the server answered: signs in again, or says that consent is needed`,
    { skip },
    async () => {
      const home = await expired();
      try {
        const serving = await home.serve();
        const answered = Promise.withResolvers<void>();
        site.authority.beforeAnswer = () => {
          setImmediate(answered.resolve);
          return Promise.resolve();
        };
        const wire = await startSignIn(serving.door.imap, home.password);
        await answered.promise;
        await delay(ms);
        await serving.kill();
        wire.destroy();
        site.authority.beforeAnswer = undefined;
        const answer = await signInAfterwards(home);
        // Whether the answer was received cannot be seen from outside; when it was not, the server has revoked the grant.
        if (ms >= 1000) assert.match(answer, /^a1 OK /, 'by then the answer was received and committed');
        else
          assert.match(
            answer,
            /^a1 (?:OK |NO \[CONTACTADMIN\] .*never arrived)/,
            'L9: the lost answer is told as the reason',
          );
        await home.cli(['audit', 'verify']);
      } finally {
        site.authority.beforeAnswer = undefined;
        home.remove();
      }
    },
  );
