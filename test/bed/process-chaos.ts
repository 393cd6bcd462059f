/**
 * Seeded trouble over the life of the processes of one installation while programs sign in: workers and primary killed, stopped,
 * restarted; certificate files in half-written states; the configuration edited underneath; a second `serve` at once; SIGHUP.
 * Judged by what programs get (never a wrong password, never a broken handshake), what a supervisor sees (exit codes, nothing
 * that hangs), and what monitoring sees (counters that do not fall while the primary lives, ready again in time).
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startSandbox } from '../../src/sandbox/index.ts';
import { ALICE } from './mail-site.ts';
import { freePorts, privateFolder } from './process.ts';
import { RunningServe, signIn, until } from './running-serve.ts';
import { sandboxHome } from './sandbox-home.ts';
import { Wire } from './wire.ts';

/** A frozen worker is noticed after ten seconds; a machine under load takes a while to start another. */
const RECOVER_MS = 40_000;

export interface ChaosOptions {
  readonly seed: number;
  readonly steps: number;
  /** From here on no new trouble begins. */
  readonly budgetMs?: number;
  readonly onStep: (line: string) => void;
}

const NAMES = [
  'a worker is killed',
  'a worker is frozen',
  'the primary is killed',
  'an orderly restart',
  'a stop during the start',
  'the primary sleeps for a moment',
  'the certificate is half written',
  'the configuration is edited',
  'a second one starts',
] as const;
type Trouble = (typeof NAMES)[number];

/** Goes through trouble; every kind of it once, in a random order, before any comes twice. @throws what went wrong */
export async function chaos(options: ChaosOptions): Promise<void> {
  const sandbox = await startSandbox();
  const home = await sandboxHome(sandbox);
  const scratch = privateFolder();
  const random = generator(options.seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  let serving: RunningServe | undefined;
  const stop = new AbortController();
  let programs: readonly Promise<void>[] = [];
  try {
    const [imap, imaps, console] = (await freePorts(3)) as [number, number, number];
    const cert = join(scratch.path, 'cert.pem');
    const key = join(scratch.path, 'key.pem');
    const whole = (): void => {
      writeFileSync(cert, sandbox.serverCertificate.cert);
      writeFileSync(key, sandbox.serverCertificate.key);
    };
    whole();
    const file = join(scratch.path, 'postern.yaml');
    const settings = {
      listeners: [
        { protocol: 'imap', tls: 'none', port: imap },
        { protocol: 'imap', tls: 'implicit', port: imaps },
      ],
      console: { port: console },
      tls: { certificate: cert, key },
      workers: 2,
      limits: { drainMs: 3000 },
    };
    const configure = (more: object = {}): void => writeFileSync(file, JSON.stringify({ ...settings, ...more }));
    const start = (): Promise<RunningServe> => new RunningServe(home.path, file).ready();
    configure();
    let now = (serving = await start());

    // Programs come all the time. What they get is counted; what they may never get fails the test.
    const wrong: string[] = [];
    let came = 0;
    programs = Array.from({ length: 4 }, async (_, at) => {
      while (!stop.signal.aborted) {
        if (at === 0) {
          await handshake(imaps, sandbox.caPem).catch((error: unknown) => wrong.push(String(error)));
        } else {
          const { answer, wire } = await signIn(imap, ALICE, home.password);
          wire?.destroy();
          if (answer === 'OK') came += 1;
          else if (!/^(?:broken|NO \[UNAVAILABLE\])/.test(answer)) wrong.push(answer);
        }
        await delay(60);
      }
    });

    const victim = (): number => pick(now.workers());
    const stays = async (): Promise<void> => {
      await until(
        'two workers, ready',
        async () => now.workers().length === 2 && (await now.isReady().catch(() => false)),
        RECOVER_MS,
        () => now.log,
      );
    };
    const replaced = async (pid: number): Promise<void> => {
      await until(
        'replaced',
        () => !now.workers().includes(pid),
        RECOVER_MS,
        () => now.log,
      );
      await stays();
    };
    const troubles: Readonly<Record<Trouble, () => Promise<'same' | 'new primary'>>> = {
      async 'a worker is killed'() {
        const pid = victim();
        process.kill(pid, 'SIGKILL');
        await replaced(pid);
        return 'same';
      },
      async 'a worker is frozen'() {
        const pid = victim();
        process.kill(pid, 'SIGSTOP');
        await replaced(pid);
        return 'same';
      },
      async 'the primary is killed'() {
        await now.kill();
        now = serving = await start();
        return 'new primary';
      },
      async 'an orderly restart'() {
        assert.deepEqual(await now.stop(25_000), { code: 0, signal: null }, now.log);
        now = serving = await start();
        return 'new primary';
      },
      async 'a stop during the start'() {
        assert.deepEqual(await now.stop(25_000), { code: 0, signal: null }, now.log);
        const early = (serving = new RunningServe(home.path, file));
        await delay(random() * 1500);
        early.signal('SIGTERM');
        const { code, signal } = await early.within(RECOVER_MS);
        // Before the program itself is loaded, the system answers for it.
        assert.ok(code === 0 || signal === 'SIGTERM', `${code} ${signal} ${early.log}`);
        now = serving = await start();
        return 'new primary';
      },
      async 'the primary sleeps for a moment'() {
        const workers = now.workers();
        now.signal('SIGSTOP');
        await delay(1500);
        now.signal('SIGCONT');
        await stays();
        assert.deepEqual(now.workers(), workers, 'it does not blame its workers');
        return 'same';
      },
      async 'the certificate is half written'() {
        const { cert: chain, key: own } = sandbox.serverCertificate;
        const half = (text: string): string => text.slice(0, Math.floor(random() * text.length));
        for (const [path, text] of [
          [cert, half(chain)],
          [key, half(own)],
          [cert, ''],
        ] as const) {
          writeFileSync(path, text);
          now.signal('SIGHUP');
          await delay(150);
        }
        const pid = victim();
        process.kill(pid, 'SIGKILL');
        await replaced(pid);
        whole();
        now.signal('SIGHUP');
        return 'same';
      },
      async 'the configuration is edited'() {
        pick([
          () => writeFileSync(file, 'listeners: [{'),
          () => configure({ database: `sqlite:${join(scratch.path, 'empty.db')}` }),
          () => configure({ workers: 5, hostname: 'other.example.com' }),
        ])();
        const pid = victim();
        process.kill(pid, 'SIGKILL');
        now.signal('SIGHUP');
        await replaced(pid);
        configure();
        return 'same';
      },
      async 'a second one starts'() {
        const second = new RunningServe(home.path, file);
        assert.equal((await second.within(RECOVER_MS)).code, 64, second.log);
        await stays();
        return 'same';
      },
    };

    const began = performance.now();
    let order: Trouble[] = [];
    for (let step = 0; step < options.steps && performance.now() - began < (options.budgetMs ?? Infinity); step++) {
      if (order.length === 0)
        order = NAMES.map((name) => ({ name, at: random() }))
          .toSorted((a, b) => a.at - b.at)
          .map(({ name }) => name);
      const name = order.pop()!;
      const counted = await now.metric('postern_sign_ins_total');
      const outcome = await troubles[name]().catch((error: unknown) => {
        throw new Error(`step ${step}, ${name}: ${String(error)}`);
      });
      const after = await now.metric('postern_sign_ins_total');
      if (outcome === 'same') assert.ok(after >= counted, `step ${step}, ${name}: counted ${counted}, then ${after}`);
      options.onStep(`${name}: ${Math.round(performance.now() - began)} ms, ${came} sign-ins`);
      const before = came;
      await until(
        'programs come in again',
        () => came > before,
        20_000,
        () => now.log,
      );
    }
    stop.abort();
    await Promise.all(programs);
    assert.deepEqual(wrong, []);
    const left = now.workers();
    assert.deepEqual(await now.stop(25_000), { code: 0, signal: null }, now.log);
    for (const pid of left) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.doesNotMatch(now.log, /unexpected failure|"code":"base\.bug"/);
  } finally {
    stop.abort();
    await Promise.allSettled(programs);
    if (serving && serving.over === undefined) await serving.kill();
    home.remove();
    await sandbox.close();
    scratch.remove();
  }
}

/** Mulberry32. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A TLS program: nobody there is no failure, a handshake that breaks is. */
async function handshake(port: number, ca: string): Promise<void> {
  try {
    const wire = await Wire.open({ host: 'localhost', port }, ca);
    wire.destroy();
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    // Killed between accepting and greeting, or not there.
    if (!/^(?:ECONNREFUSED|ECONNRESET|EPIPE)$/.test(code) && !/disconnected before secure/.test(message)) throw error;
  }
}
