import { execFile } from 'node:child_process';
import { link, mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { ensureImages } from '@opencomputer/images';
import { sharedCacheDir } from './platform.ts';
import { sharedApi } from './shared.ts';
import { TestWorker } from './worker.ts';

const execute = promisify(execFile);
const sparseCopy = ['-a', '--sparse=always', '--reflink=auto'];
const lowestLayer = 'layer-0';

/**
 * Copies what a platform needs from the shared cache, so that a test can damage it or put it on another file
 * system: the images of this source tree and the template of a shape.
 * @param shape of the template; what is not given is that of the default shape
 * @returns the directory of that template in the copy
 */
export async function copyCache(target: string, shape: { memoryMB?: number } = {}): Promise<string> {
  const key = await templateOf(shape);
  const images = await ensureImages({ cacheDir: sharedCacheDir, onProgress: () => undefined });
  const [boot, rootfs] = [images.dir, dirname(images.rootfs)];
  await mkdir(join(target, 'images'), { recursive: true });
  await mkdir(join(target, 'templates'), { recursive: true, mode: 0o700 });
  await execute('cp', [...sparseCopy, boot, rootfs, join(target, 'images')]);
  await execute('cp', [...sparseCopy, join(sharedCacheDir, 'acceleration.json'), target]);
  const directory = join(sharedCacheDir, 'templates', key);
  const copy = join(target, 'templates', key);
  await mkdir(copy, { mode: 0o700 });
  // The lowest layer is the root file system itself, under a second name.
  await link(join(target, 'images', basename(rootfs), 'rootfs.ext4'), join(copy, lowestLayer));
  const others = (await readdir(directory)).filter((name) => name !== lowestLayer);
  await execute('cp', [...sparseCopy, ...others.map((name) => join(directory, name)), copy]);
  return copy;
}

/** The template that this source tree uses, built where there is none yet: a machine's record names it. */
async function templateOf(shape: { memoryMB?: number }): Promise<string> {
  const sandbox = await sharedApi().create(shape);
  const record = join(inject('platform').dataDir, 'worker/machines', sandbox.id, 'machine.json');
  const { origin } = JSON.parse(await readFile(record, 'utf8')) as { origin: string };
  await sandbox.delete();
  return origin;
}

/**
 * Copies what a worker alone needs for test machines to a cache on another file system: their template, which is made
 * first where it is missing.
 */
export async function copyWorkerCache(target: string): Promise<void> {
  const template = await templateOfTestMachines();
  await mkdir(join(target, 'templates'), { recursive: true, mode: 0o700 });
  for (const path of ['overlays', 'acceleration.json', join('templates', template)])
    await execute('cp', [...sparseCopy, join(sharedCacheDir, path), join(target, path)]);
}

async function templateOfTestMachines(): Promise<string> {
  const worker = await TestWorker.start();
  try {
    const { id } = await worker.create();
    const record = await readFile(join(worker.directory(id), 'machine.json'), 'utf8');
    return (JSON.parse(record) as { origin: string }).origin;
  } finally {
    await worker.destroy();
  }
}
