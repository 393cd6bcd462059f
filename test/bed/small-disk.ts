/** A file system that is really full when it is full: a tmpfs of a few megabytes. Mounting takes root. */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
