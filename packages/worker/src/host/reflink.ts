import { constants, copyFile, link, mkdtemp, open, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from './errors.ts';

/** What the file systems of the data and cache directories can do. */
export interface FileSystemFacts {
  /** The data directory's, e.g. `ext4`; a number in hex where we don't know it. */
  readonly type: string;
  /** Copies share blocks until one is written. */
  readonly reflink: boolean;
  /** Hard links from the cache directory to the data directory work. */
  readonly hardLink: boolean;
  /** Holes in files take no space. */
  readonly sparse: boolean;
  /** Cache and data directory are on one file system. */
  readonly sameFileSystem: boolean;
}

/** From linux/magic.h and the file systems' own headers. */
const typeNames: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x01021994, 'tmpfs'],
  [0x794c7630, 'overlay'],
  [0x2fc12fc1, 'zfs'],
  [0xca451a4e, 'bcachefs'],
  [0xf2f52010, 'f2fs'],
  [0x6969, 'nfs'],
  [0x65735546, 'fuse'],
  [0x01021997, '9p'],
]);

const unsupported = new Set([
  'EXDEV',
  'EPERM',
  'EINVAL',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOTTY',
  'ENOSYS',
  'EMLINK',
]);
const sparseFileBytes = 8 * 1024 * 1024;

/** Name of the file system that holds `path`. */
export async function fileSystemType(path: string): Promise<string> {
  const { type } = await statfs(path);
  return typeNames.get(type) ?? `0x${type.toString(16)}`;
}

/**
 * Tries it with small files in both directories, which must exist, and removes them again.
 * @throws the system's error when files can't be written there at all
 */
export async function probeFileSystem(
  dataDirectory: string,
  cacheDirectory: string,
): Promise<FileSystemFacts> {
  const inData = await mkdtemp(join(dataDirectory, '.probe-'));
  try {
    const inCache = await mkdtemp(join(cacheDirectory, '.probe-'));
    try {
      const original = join(inCache, 'original');
      await writeFile(original, Buffer.alloc(64 * 1024, 1));
      const [dataStat, cacheStat] = await Promise.all([stat(inData), stat(inCache)]);
      return {
        type: await fileSystemType(inData),
        reflink: await succeeds(copyFile(original, join(inData, 'clone'), constants.COPYFILE_FICLONE_FORCE)),
        hardLink: await succeeds(link(original, join(inData, 'link'))),
        sparse: await keepsHoles(join(inData, 'sparse')),
        sameFileSystem: dataStat.dev === cacheStat.dev,
      };
    } finally {
      await rm(inCache, { recursive: true, force: true });
    }
  } finally {
    await rm(inData, { recursive: true, force: true });
  }
}

async function succeeds(attempt: Promise<void>): Promise<boolean> {
  try {
    await attempt;
    return true;
  } catch (error) {
    if (unsupported.has(systemErrorCode(error) ?? '')) return false;
    throw error;
  }
}

async function keepsHoles(path: string): Promise<boolean> {
  const file = await open(path, 'wx');
  try {
    await file.write(Buffer.alloc(4096, 1), 0, 4096, sparseFileBytes - 4096);
    await file.sync();
    const { blocks } = await file.stat();
    return blocks * 512 < sparseFileBytes / 2;
  } finally {
    await file.close();
  }
}
