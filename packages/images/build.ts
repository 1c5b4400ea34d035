import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { findArtifact, makeArtifact, removeAbandoned, removeOthers } from './artifact.ts';
import { bootKey, buildBoot, parseBootManifest } from './boot.ts';
import { buildJailer, findJailer } from './jailer.ts';
import { takeLock } from './lock.ts';
import { defaultCacheDir } from './paths.ts';
import { inPhase, progressPrinter } from './progress.ts';
import { buildRootfs, parseRootfsManifest, rootfsKey } from './rootfs.ts';
import { checkRootfsHost } from './rootfs-host.ts';
import type { CommandContext } from './command.ts';
import type { OnProgress } from './progress.ts';

/** Everything a machine boots from; all paths are absolute and their files never change. */
export interface Images {
  /** Key of the content of all files. */
  key: string;
  /** The boot pack's directory. */
  dir: string;
  kernel: string;
  initramfs: string;
  /** Raw ext4 image, sparse. */
  rootfs: string;
  kernelRelease: string;
  /** The program that starts QEMU. */
  jailer: string;
}

export interface ImageOptions {
  /** Images live in its `images` directory. */
  cacheDir?: string;
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

/** The images of this source tree, if they are built already. Changes nothing. */
export async function findImages(cacheDir: string = defaultCacheDir()): Promise<Images | undefined> {
  const imagesDir = path.join(path.resolve(cacheDir), 'images');
  const rootfs = await findArtifact(imagesDir, `rootfs-${rootfsKey()}`, parseRootfsManifest);
  if (!rootfs) return undefined;
  const boot = await findArtifact(imagesDir, `boot-${bootKey(rootfs.manifest.key)}`, parseBootManifest);
  const jailer = await findJailer(imagesDir);
  if (!boot || jailer === undefined) return undefined;
  return {
    key: boot.manifest.key,
    dir: boot.dir,
    kernel: path.join(boot.dir, 'kernel'),
    initramfs: path.join(boot.dir, 'initramfs'),
    rootfs: path.join(rootfs.dir, 'rootfs.ext4'),
    kernelRelease: boot.manifest.kernelRelease,
    jailer,
  };
}

/**
 * The images of this source tree, built first where they are missing: the root file system takes about a minute and
 * needs the network and root, the boot pack takes seconds. Of simultaneous callers, in any number of processes, one
 * builds and the others wait.
 */
export async function ensureImages(options: ImageOptions = {}): Promise<Images> {
  const cacheDir = path.resolve(options.cacheDir ?? defaultCacheDir());
  const existing = await findImages(cacheDir);
  if (existing) return existing;

  const onProgress = options.onProgress ?? (() => undefined);
  const imagesDir = path.join(cacheDir, 'images');
  await mkdir(imagesDir, { recursive: true });
  await using lock = await takeLock(
    path.join(imagesDir, '.lock'),
    () => onProgress({ event: 'started', phase: 'waiting for another build' }),
    options.signal,
  );
  await removeAbandoned(imagesDir);
  await buildMissing(imagesDir, { lockFd: lock.fd, signal: options.signal }, onProgress);
  const images = await findImages(cacheDir);
  if (!images) throw new Error('the recipe changed while the images were built: build again');
  return images;
}

/** Removes the images of other source trees and returns their names. */
export async function pruneImages(cacheDir: string = defaultCacheDir()): Promise<string[]> {
  const images = await findImages(cacheDir);
  if (!images) throw new Error('nothing to keep: build the images of this source tree first');
  const imagesDir = path.dirname(images.dir);
  await using _lock = await takeLock(path.join(imagesDir, '.lock'), () => undefined);
  const current = [images.dir, path.dirname(images.rootfs), path.dirname(images.jailer)].map((dir) =>
    path.basename(dir),
  );
  return removeOthers(imagesDir, current);
}

async function buildMissing(
  imagesDir: string,
  context: Omit<CommandContext, 'log'>,
  onProgress: OnProgress,
): Promise<void> {
  const key = rootfsKey();
  const found = await findArtifact(imagesDir, `rootfs-${key}`, parseRootfsManifest);
  if (!found) await checkRootfsHost(imagesDir);
  const rootfs =
    found ??
    (await withLog(imagesDir, key, (log) =>
      makeArtifact(imagesDir, `rootfs-${key}`, (dir) =>
        buildRootfs({ ...context, log }, dir, key, onProgress),
      ),
    ));
  if ((await findJailer(imagesDir)) === undefined)
    await inPhase(onProgress, 'jailer', () =>
      withLog(imagesDir, key, (log) => buildJailer(imagesDir, { ...context, log })),
    );
  const boot = bootKey(key);
  if (await findArtifact(imagesDir, `boot-${boot}`, parseBootManifest)) return;
  const source = { image: path.join(rootfs.dir, 'rootfs.ext4'), manifest: rootfs.manifest };
  await withLog(imagesDir, boot, (log) =>
    makeArtifact(imagesDir, `boot-${boot}`, (dir) =>
      buildBoot({ ...context, log }, dir, boot, source, onProgress),
    ),
  );
}

/** Keeps a log of one build; errors name its file. */
async function withLog<Result>(
  imagesDir: string,
  key: string,
  work: (log: CommandContext['log']) => Promise<Result>,
): Promise<Result> {
  const file = path.join(imagesDir, `build-${key}.log`);
  const log = createWriteStream(file);
  await once(log, 'open');
  try {
    return await work(log);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`image build failed: ${reason}\n${adviceFor(reason)}The full log is ${file}`, {
      cause: error,
    });
  } finally {
    log.end();
    await once(log, 'close');
  }
}

/** What to do about failures that the user can fix; else nothing. */
export function adviceFor(reason: string): string {
  if (/resolve|Failed to fetch|onnect|timed out|Network|ENOTFOUND|ETIMEDOUT|EAI_AGAIN/.test(reason)) {
    return (
      'The build fetches packages from deb.debian.org, security.debian.org, the npm registry and PyPI: ' +
      'check the network, or set http_proxy and https_proxy, and run it again.\n'
    );
  }
  if (/No space left|ENOSPC/.test(reason)) {
    return 'Free disk space, or set OPENCOMPUTER_CACHE_DIR to a directory on a larger disk.\n';
  }
  return '';
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      check: { type: 'boolean', default: false },
      prune: { type: 'boolean', default: false },
      'cache-dir': { type: 'string' },
    },
  });
  const cacheDir = values['cache-dir'] ?? defaultCacheDir();
  if (values.check) {
    const images = await findImages(cacheDir);
    console.log(images ? `up to date: ${images.dir}` : 'not built: run npm run images');
    process.exitCode = images ? 0 : 1;
    return;
  }
  if (values.prune) {
    for (const name of await pruneImages(cacheDir)) console.log(`removed ${name}`);
    return;
  }
  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)));
  }
  const images = await ensureImages({
    cacheDir,
    onProgress: progressPrinter(process.stderr),
    signal: interrupt.signal,
  });
  console.log(images.dir);
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
