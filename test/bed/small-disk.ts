/**
 * A file system that is really full when it is full: a tmpfs of a few megabytes. Mounting takes root, or a name space of one's
 * own in which one is root (user_namespaces(7)), where the system allows those.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { privateFolder } from './process.ts';

export interface SmallDisk {
  readonly path: string;
  /** Gives back the room that was set aside. */
  makeRoom(): void;
  remove(): void;
}

/** @param octets in all, of which `aside` are taken until {@link SmallDisk.makeRoom}; undefined where it may not be mounted */
export function smallDisk(octets: number, aside: number): SmallDisk | undefined {
  const folder = privateFolder();
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${octets},mode=700`, 'postern-test', folder.path]);
  if (status !== 0) {
    folder.remove();
    return undefined;
  }
  const ballast = join(folder.path, 'ballast');
  writeFileSync(ballast, Buffer.alloc(aside));
  return {
    path: folder.path,
    makeRoom: () => rmSync(ballast),
    remove() {
      spawnSync('umount', ['-l', folder.path]);
      folder.remove();
    },
  };
}

/** Files that were run again, once for all their tests. */
const reruns = new Map<string, ReturnType<typeof againAsRoot>>();

/**
 * The disk of a test that needs one. Undefined when the test is over: it has run again as root, or is skipped because nobody may
 * mount here.
 */
export function diskFor(t: TestContext, file: string, octets: number, aside: number): SmallDisk | undefined {
  const disk = smallDisk(octets, aside);
  if (disk !== undefined) return disk;
  if (!reruns.has(file)) reruns.set(file, againAsRoot(file));
  const again = reruns.get(file);
  if (again === undefined) t.skip('nobody may mount a file system here');
  else assert.ok(again.passed, again.output);
  return undefined;
}

const IN_NAMESPACE: readonly string[] = ['--user', '--map-root-user', '--mount'];

/**
 * Runs a test file again where this user may mount. Undefined when nobody may here; otherwise whether it passed, and what it
 * said.
 */
function againAsRoot(file: string): { readonly passed: boolean; readonly output: string } | undefined {
  // Root that may not mount gains nothing by this.
  if (process.getuid?.() === 0) return undefined;
  const trial = privateFolder();
  const mount = ['mount', '-t', 'tmpfs', 'postern-test', trial.path];
  const { status } = spawnSync('unshare', [...IN_NAMESPACE, ...mount], { stdio: 'ignore' });
  trial.remove();
  if (status !== 0) return undefined;
  // Without this variable of the test runner's, which makes a test run inside a test do nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const done = spawnSync('unshare', [...IN_NAMESPACE, process.execPath, '--test', file], { encoding: 'utf8', env });
  return { passed: done.status === 0, output: done.stdout + done.stderr };
}
