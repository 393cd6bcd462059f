#!/usr/bin/env node
// Runs a script of this checkout under a new enough Node, installing what is missing first.
//
//   node scripts/with-node.mjs [--quiet] SCRIPT [ARGS...]
//
// Plain JavaScript without dependencies, so that an old Node (tried with 20) can start it.
// 1. Node: the running one if it is >= 24.7, else `node` on PATH or .cache/node24, else a platform package from the
//    npm registry (a plain tarball, no install script) into .cache/node24.
// 2. node_modules: `npm ci` under that Node when package-lock.json changed since the last one. Under an old Node npm
//    picks old majors silently, so the new Node comes first on PATH.
// Several starts at once wait for one another.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = realpathSync(resolve(dirname(fileURLToPath(import.meta.url)), '..'));
const cache = join(root, '.cache');
const NODE_VERSION = '24.21.0';
const NEEDED = [24, 7]; // crypto.argon2 came with 24.7

const args = process.argv.slice(2);
const quiet = args[0] === '--quiet';
if (quiet) args.shift();
const [script, ...rest] = args;
if (!script) fail('usage: node scripts/with-node.mjs [--quiet] SCRIPT [ARGS...]', 64);

const say = (text) => quiet || process.stderr.write(`postern: ${text}\n`);
function fail(text, code) {
  process.stderr.write(`postern: ${text}\n`);
  process.exit(code);
}
const newEnough = (version) => {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number);
  return major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1]);
};
const versionOf = (bin) => {
  const run = spawnSync(bin, ['--version'], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : undefined;
};
const cachedNode = () => {
  const bin = process.platform === 'win32' ? 'node.exe' : join('bin', 'node');
  return join(cache, 'node24', 'node_modules', `node-${platformName()}`, bin);
};
function platformName() {
  const os = { linux: 'linux', darwin: 'darwin', win32: 'win' }[process.platform];
  if (!os || !['x64', 'arm64'].includes(process.arch))
    fail(
      `no ready-made Node for ${process.platform} ${process.arch}: install Node ${NODE_VERSION} or later yourself and run this again`,
      69,
    );
  return `${os}-${process.arch}`;
}

function npm(nodeBin, npmArgs, what) {
  const env = {
    ...process.env,
    PATH: `${dirname(nodeBin)}${delimiter}${process.env.PATH ?? ''}`,
    npm_config_update_notifier: 'false',
  };
  for (const key of Object.keys(env))
    if (/^npm_(package|lifecycle|command|config_local_prefix|config_prefix)/.test(key)) delete env[key];
  const run = spawnSync('npm', npmArgs, { cwd: root, env, encoding: 'utf8', shell: process.platform === 'win32' });
  if (run.status !== 0)
    fail(
      `${what} did not work: npm ${npmArgs.join(' ')}\n${(run.stderr || run.stdout || String(run.error)).trim()}\nis the npm registry reachable? try: npm ping`,
      69,
    );
}

/** Somebody else's checkout, or one on a read-only disk: said in words, with what to type. */
function unwritable(error) {
  if (!['EACCES', 'EPERM', 'EROFS'].includes(error.code)) throw error;
  let owner = '';
  try {
    owner = String(statSync(root).uid);
  } catch {
    // not even that
  }
  const me = process.getuid?.();
  fail(
    error.code === 'EROFS'
      ? `${root} is on a disk that is read-only, and Node or the dependencies are not in it yet\npostern: next: run npm start there once where it can be written`
      : `${root} belongs to another user (${owner}), and Node or the dependencies are not in it yet (this user is ${me})\npostern: next: run npm start there once as its owner, or make a checkout of your own: git clone ${root} ~/postern`,
    77,
  );
}

// One set-up at a time: an exclusive file, taken over when its owner is gone.
async function locked(work) {
  try {
    mkdirSync(cache, { recursive: true });
  } catch (error) {
    unwritable(error);
  }
  const lock = join(cache, 'setup.lock');
  for (;;) {
    try {
      const fd = openSync(lock, 'wx');
      writeFileSync(fd, String(process.pid));
      closeSync(fd);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') unwritable(error);
      if (abandoned(lock)) removeLock(lock);
      else await new Promise((r) => setTimeout(r, 200));
    }
  }
  try {
    work();
  } finally {
    rmSync(lock, { force: true });
  }
}
function removeLock(lock) {
  try {
    rmSync(lock, { force: true });
  } catch (error) {
    unwritable(error);
  }
}
function abandoned(lock) {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    if (!pid) return Date.now() - statSync(lock).mtimeMs > 5000;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH' || error.code === 'ENOENT';
  }
}

const findNode = () => {
  if (newEnough(process.version)) return process.execPath;
  if (existsSync(cachedNode())) return cachedNode();
  const onPath = versionOf('node');
  return onPath && newEnough(onPath) ? 'node' : undefined;
};
const stamp = join(root, 'node_modules', '.postern-lock');
const lockHash = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');
const modulesReady = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === lockHash;

if (!findNode() || !modulesReady())
  await locked(() => {
    if (!findNode()) {
      say(`this is Node ${process.version}; fetching Node ${NODE_VERSION} into .cache (once)`);
      mkdirSync(join(cache, 'node24'), { recursive: true });
      npm(
        process.execPath,
        [
          'install',
          '--prefix',
          join(cache, 'node24'),
          '--no-save',
          '--ignore-scripts',
          '--no-package-lock',
          `node-${platformName()}@${NODE_VERSION}`,
        ],
        'fetching Node',
      );
    }
    if (!modulesReady()) {
      say('installing dependencies (once)');
      npm(findNode(), ['ci', '--ignore-scripts', '--no-fund', '--no-audit'], 'installing dependencies');
      writeFileSync(stamp, lockHash);
    }
  });

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
/** `postern` where that is this checkout's launcher, otherwise the launcher's path: what is printed can be pasted anywhere. */
function commandName() {
  const launcher = join(root, 'bin', 'postern');
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      const found = join(folder, 'postern');
      if (existsSync(found)) return realpathSync(found) === launcher ? 'postern' : launcher;
    } catch {
      // a folder that may not be looked into: the shell goes on, too
    }
  }
  return process.platform === 'win32' ? 'npm run -s postern --' : launcher;
}

const node = findNode();
const env = {
  ...process.env,
  // Compiled code is cached, so that the second start is fast.
  ...(process.env.NODE_COMPILE_CACHE === undefined && isWritable(cache)
    ? { NODE_COMPILE_CACHE: join(cache, 'compile') }
    : {}),
};
if (node !== 'node') env.PATH = `${dirname(node)}${delimiter}${process.env.PATH ?? ''}`;
const isCommand = script === join('src', 'cli', 'main.ts');
if (isCommand) env.POSTERN_STARTED_AS = commandName();
const child = spawn(node, ['--disable-warning=ExperimentalWarning', resolve(root, script), ...rest], {
  stdio: 'inherit',
  // npm has changed to the checkout: files are named from where the person is.
  ...(isCommand && process.env.npm_lifecycle_event && process.env.INIT_CWD ? { cwd: process.env.INIT_CWD } : {}),
  env,
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
// npm that is told to stop ends its shell, but not what the shell started: notice that nobody is there any more. Whoever starts this
// without npm may leave on purpose (nohup, setsid).
const parent = process.ppid;
if (process.env.npm_lifecycle_event !== undefined)
  setInterval(() => process.ppid === parent || child.kill('SIGTERM'), 500).unref();
child.on('error', (error) => fail(`cannot start ${node}: ${error.message}`, 71));
child.on('exit', (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else process.exit(code ?? 1);
});
