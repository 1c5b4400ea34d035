import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { recipeDir } from './paths.ts';
import { hostCertificates, keyring } from './rootfs.ts';

/** Disk that a build needs at its peak: for the tree, and for the image made from it. */
const neededBytes = 5 * 1024 ** 3;

/**
 * Checks whether this host can build a root file system in `imagesDir`. @throws Error that says what to do when it
 * can't
 */
export async function checkRootfsHost(imagesDir: string): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new Error(
      'building the root file system needs root; later starts do not. Run once: ' +
        `sudo ${process.execPath} ${path.join(recipeDir, 'build.ts')} --cache-dir ${path.dirname(imagesDir)}`,
    );
  }
  const needs = { mmdebstrap: 'mmdebstrap', mke2fs: 'e2fsprogs', 'dpkg-deb': 'dpkg', npm: 'npm' };
  const missing = Object.entries(needs)
    .filter(([program]) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined)
    .map(([, debianPackage]) => debianPackage);
  if (!existsSync(keyring)) missing.push('debian-archive-keyring');
  if (!existsSync(hostCertificates())) missing.push('ca-certificates');
  if (missing.length > 0) {
    throw new Error(`missing on this host: apt-get install ${missing.join(' ')}`);
  }
  const disk = await statfs(imagesDir);
  const free = disk.bavail * disk.bsize;
  if (free < neededBytes) {
    const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
    throw new Error(
      `not enough disk space in ${imagesDir}: ${gigabytes(free)} GB free, ${gigabytes(neededBytes)} GB needed; ` +
        'free some, or set OPENCOMPUTER_CACHE_DIR to a directory on a larger disk',
    );
  }
}
