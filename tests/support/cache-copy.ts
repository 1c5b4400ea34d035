import { execFile } from 'node:child_process';
import { link, mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ensureImages } from '../../images/build.ts';
import { sharedCacheDir } from './platform.ts';
import { sharedApi } from './shared.ts';

const execute = promisify(execFile);
const sparseCopy = ['-a', '--sparse=always', '--reflink=auto'];
const lowestLayer = 'layer-0';

interface Manifest {
  compatibility: { boot: string; rootfs: string; cpuCount: number; memoryMB: number };
}

/**
 * Copies what a platform needs from the shared cache, so that a test can damage it or put it on another file
 * system: the images of this source tree and the template of the default shape.
 * @returns the directory of that template in the copy
 */
export async function copyCache(target: string): Promise<string> {
  // Has the template built where this source tree never had one.
  await (await sharedApi().create()).delete();
  const images = await ensureImages({ cacheDir: sharedCacheDir, onProgress: () => undefined });
  const [boot, rootfs] = [images.dir, dirname(images.rootfs)];
  await mkdir(join(target, 'images'), { recursive: true });
  await mkdir(join(target, 'templates'), { recursive: true, mode: 0o700 });
  await execute('cp', [...sparseCopy, boot, rootfs, join(target, 'images')]);
  await execute('cp', [...sparseCopy, join(sharedCacheDir, 'acceleration.json'), target]);
  for (const key of await readdir(join(sharedCacheDir, 'templates'))) {
    const directory = join(sharedCacheDir, 'templates', key);
    const { compatibility } = await manifestOf(directory);
    if (compatibility?.boot !== basename(boot) || compatibility.rootfs !== basename(rootfs)) continue;
    if (compatibility.cpuCount !== 1 || compatibility.memoryMB !== 1024) continue;
    const copy = join(target, 'templates', key);
    await mkdir(copy, { mode: 0o700 });
    // The lowest layer is the root file system itself, under a second name.
    await link(join(target, 'images', basename(rootfs), 'rootfs.ext4'), join(copy, lowestLayer));
    const others = (await readdir(directory)).filter((name) => name !== lowestLayer);
    await execute('cp', [...sparseCopy, ...others.map((name) => join(directory, name)), copy]);
    return copy;
  }
  throw new Error('the shared cache has no template of the default shape');
}

async function manifestOf(directory: string): Promise<Partial<Manifest>> {
  try {
    return JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as Manifest;
  } catch (error) {
    // A build that is under way.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}
