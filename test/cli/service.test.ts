/** `postern service`: the unit serves this very installation. systemd judges the file; what it would run is run with its environment. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { openDesk } from '../bed/command-desk.ts';
import { ALICE } from '../bed/mail-site.ts';
import { createHome, type Home } from '../bed/installation.ts';
import { type Finished, privateFolder, runProgram } from '../bed/process.ts';
import { RunningServe, until } from '../bed/running-serve.ts';
import { PLAIN } from '../bed/serve-bed.ts';
import { startSandbox, type Sandbox } from '../../src/sandbox/index.ts';
import { parseUnit, unitText } from '../../src/server/systemd/unit.ts';

const folder = privateFolder();
const desk = openDesk();
let sandbox: Sandbox;
let home: Home;

before(async () => {
  sandbox = await startSandbox();
  const { imap, pop3, smtp } = sandbox.mail;
  const ca = sandbox.caPem;
  home = await createHome({
    application: {
      provider: 'microsoft',
      clientId: sandbox.clients.public.id,
      settings: {
        authority: sandbox.authority,
        ca,
        imap: { ...imap, ca },
        pop3: { ...pop3, ca },
        smtp: { ...smtp, ca },
      },
    },
    authority: { approve: (url: string) => sandbox.approve(url, ALICE) },
  });
});
after(async () => {
  desk.close();
  home?.remove();
  await sandbox?.close();
  folder.remove();
});

const service = (args: readonly string[], accept: readonly number[] = [0]): Promise<Finished> =>
  home.cli(['service', ...args], { accept });

const json = ({ stdout }: Finished): Record<string, unknown> =>
  JSON.parse(stdout.toString()) as Record<string, unknown>;

for (const scope of ['user', 'system'] as const) {
  const flags = scope === 'system' ? ['--system'] : [];
  test(`N1: the ${scope} service takes the installation along: same mailboxes, same app passwords`, async () => {
    const root = join(folder.path, scope);
    const planned = json(await service(['install', ...flags, '--root', root, '--dry-run', '--json']));
    assert.deepEqual(planned['takesAlong'], {
      providers: 1,
      mailboxes: [ALICE],
      appPasswords: 1,
      key: join(home.path, 'key'),
      database: join(home.path, 'postern.db'),
    });
    const unit = planned['unit'] as string;
    assert.equal(existsSync(unit), false, '--dry-run writes nothing');

    const refused = await service(['install', ...flags, '--root', root], [64]);
    assert.match(refused.stderr, /will write .*postern\.service/);
    assert.match(refused.stderr, /nobody agreed to it/);
    assert.equal(existsSync(unit), false);

    assert.equal(json(await service(['install', ...flags, '--root', root, '--yes', '--json']))['unchanged'], false);
    const text = readFileSync(unit, 'utf8');
    await verified(scope, text);
    const written = statSync(unit).mtimeMs;
    assert.equal(json(await service(['install', ...flags, '--root', root, '--yes', '--json']))['unchanged'], true);
    assert.equal(statSync(unit).mtimeMs, written, 'installing again changes nothing');

    const { command, environment, user } = parseUnit(text);
    assert.equal(user, scope === 'system' ? 'root' : undefined);
    const mail = await served(command, environment);
    assert.match(mail, /\* LIST .*INBOX/);

    const status = await service(['status', ...flags, '--root', root], [69]);
    assert.match(status.stdout.toString(), /, this installation\n/);
    assert.match(status.stdout.toString(), /systemd does not run here/);
    await service(['uninstall', ...flags, '--root', root, '--yes']);
    assert.equal(existsSync(unit), false);
    assert.equal(existsSync(join(home.path, 'postern.db')), true, 'the installation stays');
    await service(['uninstall', ...flags, '--root', root, '--yes']);
  });
}

test('N1: a service of another installation is not taken over in silence, nor is one installation served twice', async () => {
  const root = join(folder.path, 'other');
  await service(['install', '--system', '--root', root, '--yes']);
  const path = join(root, 'etc/systemd/system/postern.service');
  const twice = await service(['install', '--root', root, '--yes'], [64]);
  assert.match(twice.stderr, /serves this installation already/);
  writeFileSync(path, '[Service]\nExecStart=/usr/bin/postern serve\nEnvironment=POSTERN_HOME=%S/postern\n');
  const other = await service(['install', '--system', '--root', root, '--yes'], [64]);
  assert.match(other.stderr, /serves another installation: \/var\/lib\/postern/);
  const status = await service(['status', '--root', root], [69]);
  assert.match(status.stdout.toString(), /wrong +it serves \/var\/lib\/postern, not .*install --system --replace/);
  await service(['install', '--system', '--root', root, '--yes', '--replace']);
  assert.equal(parseUnit(readFileSync(path, 'utf8')).home, home.path);
});

test('N1: what the shell alone knows goes along, and a secret of the shell is refused', async () => {
  const root = join(folder.path, 'shell');
  const install = ['service', 'install', '--root', root, '--dry-run', '--json'];
  const env = { POSTERN_HOSTNAME: 'mail.example.com', HTTPS_PROXY: 'http://proxy.example:3128/100% "x"' };
  const plan = json(await home.cli(install, { env }));
  const { environment } = parseUnit(plan['text'] as string);
  assert.equal(environment['POSTERN_HOSTNAME'], env.POSTERN_HOSTNAME);
  assert.equal(environment['HTTPS_PROXY'], env.HTTPS_PROXY);
  for (const [name, value] of [
    ['POSTERN_DATABASE_URL', `sqlite:${home.path}/postern.db`],
    ['HTTPS_PROXY', 'http://user:password@proxy.example:3128'],
    // A12: a line end would begin a line of its own in the unit.
    ['HTTP_PROXY', 'http://proxy.example\nExecStartPre=/bin/touch /tmp/x'],
  ] as const) {
    const { stderr } = await home.cli(install, { env: { [name]: value }, accept: [64] });
    assert.match(stderr, new RegExp(name));
    assert.ok(!stderr.includes('password@'));
  }
});

test('N1: the unit in packaging/ is the one the command writes', async () => {
  const text = readFileSync(resolve(import.meta.dirname, '../../packaging/postern.service'), 'utf8');
  assert.equal(
    text,
    unitText({
      scope: 'system',
      user: 'postern',
      command: ['/usr/bin/postern', 'serve'],
      environment: { POSTERN_HOME: '/var/lib/postern', POSTERN_CONFIG: '/etc/postern/postern.yaml' },
      writes: ['/var/lib/postern'],
      credential: undefined,
      documentation: '/usr/share/doc/postern/operations.md',
      stopSeconds: 45,
    }),
  );
});

test('P86: without systemd the status is that of the server, whatever started it: up is no fault, down has the whole command', async () => {
  const configs = join(folder.path, 'ports');
  await runProgram('mkdir', ['-p', configs], {});
  const configured = (name: string, settings: object): string => {
    const path = join(configs, name);
    writeFileSync(path, JSON.stringify(settings));
    return path;
  };
  const serve = new RunningServe(home.path, configured('serve', PLAIN));
  try {
    await serve.ready();
    const env = { POSTERN_CONFIG: configured('known', { ...PLAIN, console: { port: serve.console } }) };
    const root = join(folder.path, 'unmanaged');
    const ask = (args: readonly string[], accept: readonly number[]): Promise<Finished> =>
      home.cli(['service', ...args], { env, accept });
    // Neither a unit nor systemd, and up.
    const bare = await ask(['status', '--root', root], [0]);
    assert.match(bare.stdout.toString(), /^unit {7}none\nstate {6}ready\nnote {7}systemd does not run here\n$/);

    const planned = await ask(['install', '--root', root, '--dry-run'], [0]);
    assert.match(
      planned.stdout.toString(),
      /^# .*\n# .*\n\[Unit\]\n(?:.*\n)+\[Service\]\n/,
      'G1: the unit as systemd reads it',
    );
    assert.doesNotMatch(planned.stderr, /would be started/, 'an image that is built starts nothing anyway');
    const here = await home.cli(['service', 'install', '--dry-run'], { env: { ...env, HOME: root } });
    assert.match(here.stderr, /systemd does not run here, so nothing would be started/);

    await ask(['install', '--root', root, '--yes'], [0]);
    const up = await ask(['status', '--root', root], [0]);
    assert.match(up.stdout.toString(), /^state {6}ready\nnote {7}systemd does not run here\n$/m);
    assert.doesNotMatch(up.stdout.toString(), /wrong/);
    const facts = json(await ask(['status', '--root', root, '--json'], [0]));
    assert.deepEqual(
      [facts['systemd'], facts['active'], facts['ready'], facts['problems']],
      [false, null, 'ready', []],
    );

    await serve.stop();
    const down = (await ask(['status', '--root', root], [69])).stdout.toString();
    assert.match(down, /^state {6}nothing answers at 127\.0\.0\.1:\d+$/m);
    const command = /have whatever starts programs on this machine run `(.+)`$/m.exec(down)?.[1] ?? '';
    assert.ok(command.startsWith(`env POSTERN_HOME=${home.path} POSTERN_CONFIG=${env.POSTERN_CONFIG} `), down);
    assert.match(command, / serve$/);
    await ask(['uninstall', '--root', root, '--yes'], [0]);
    const none = (await ask(['status', '--root', root], [69])).stdout.toString();
    assert.ok(none.includes(`env POSTERN_HOME=${home.path} POSTERN_CONFIG=${env.POSTERN_CONFIG} `), none);
    // What it prints is what it takes: with nothing but that line the server comes up.
    const again = spawn('sh', ['-c', `exec ${command}`], { env: { PATH: process.env['PATH'] }, stdio: 'ignore' });
    const gone = new Promise((done) => again.once('exit', done));
    try {
      await until(
        'it is up',
        async () => (await ask(['status', '--root', root], [0, 69])).stdout.includes('state      ready'),
        40_000,
      );
    } finally {
      again.kill('SIGTERM');
      await gone;
    }
    // No port to ask: that is said, and not called down.
    const silent = await home.cli(['service', 'status', '--root', root], {
      env: { POSTERN_CONFIG: configured('silent', PLAIN) },
      accept: [69],
    });
    assert.match(
      silent.stdout.toString(),
      /^wrong .* its console has no fixed port to ask: nobody can tell whether it is up$/m,
    );
  } finally {
    if (serve.over === undefined) await serve.kill();
  }
});

/** systemd-analyze needs no running systemd. What it says of programs that are not there is about this machine. */
async function verified(scope: 'user' | 'system', text: string): Promise<void> {
  const path = join(folder.path, `verify-${scope}`, 'postern.service');
  await runProgram('mkdir', ['-p', join(path, '..')], {});
  writeFileSync(path, text);
  const args = scope === 'user' ? ['verify', '--user', path] : ['verify', path];
  const { stderr } = await runProgram('systemd-analyze', args, {
    env: { XDG_RUNTIME_DIR: folder.path },
    accept: [0, 1],
  });
  assert.deepEqual(
    stderr.split('\n').filter((line) => line.includes('postern.service')),
    [],
  );
}

/** Runs the unit's command with nothing but its environment, and signs in with the app password from before. */
async function served(command: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  const [program, ...args] = command;
  const child = spawn(program!, args, { env: environment, stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' });
  const gone = new Promise((done) => child.once('exit', done));
  try {
    const port = await new Promise<number>((found, failed) => {
      let text = '';
      child.once('exit', () => failed(new Error(`it ended: ${text}`)));
      child.stderr.on('data', (piece: Buffer) => {
        text += piece.toString();
        const line = text.split('\n').find((one) => /"protocol":"imap".*"tls":"none".*"listening"\}$/.test(one));
        if (line !== undefined) found((JSON.parse(line) as { port: number }).port);
      });
    });
    const url = `imap://127.0.0.1:${port}/`;
    const { stdout } = await runProgram('curl', ['-s', '--user', `${ALICE}:${home.password}`, url], {});
    return stdout.toString();
  } finally {
    child.kill('SIGTERM');
    await gone;
  }
}
