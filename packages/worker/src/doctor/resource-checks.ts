import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { diskFloorMB, memoryFloorMB, startingMemoryMB } from '../host/admission.ts';
import type { CapacityConfig } from '../host/admission.ts';
import { systemErrorCode } from '../host/errors.ts';
import { readDiskFreeMB, readMemory } from '../host/readings.ts';
import type { MemoryReadings } from '../host/readings.ts';
import { fileSystemType, probeFileSystem } from '../host/reflink.ts';
import type { CheckDefinition } from './checks.ts';

/** How much disk building the image needs at its peak, in MB. */
const imageBuildMB = 6 * 1024;

/**
 * A run directory is the data directory, at most 47 bytes for `/machines/ID/NAME`, and the NUL at the end:
 * Linux takes 108 bytes for the path of a Unix socket.
 */
export const dataDirectoryLimitBytes = 60;

const memory: CheckDefinition = {
  id: 'memory',
  title: 'Memory',
  run: async ({ capacity, defaultMemoryMB }) => {
    const readings = await readMemory();
    const fit = sandboxesThatFit(readings, capacity, defaultMemoryMB);
    const found =
      `${gigabytes(readings.availableMB)} of ${gigabytes(readings.totalMB)} available; ` +
      `${fit} sandboxes of ${defaultMemoryMB} MB fit`;
    if (fit > 0) return { status: 'ok', found };
    return {
      status: 'fail',
      found,
      why: 'Not one sandbox can start.',
      fix: 'End other programs, or run on a host with more memory.',
    };
  },
};

/** How many machines of one size the rules of admission allow at the same time on the host as it is now. */
export function sandboxesThatFit(
  { totalMB, availableMB }: MemoryReadings,
  capacity: CapacityConfig,
  memoryMB: number,
): number {
  const byCommitment = (totalMB * capacity.memoryOvercommit) / memoryMB;
  const byMemory = (availableMB - memoryFloorMB(capacity, totalMB)) / startingMemoryMB(memoryMB);
  return Math.max(0, Math.floor(Math.min(byCommitment, byMemory, capacity.maxMachines)));
}

const disk: CheckDefinition = {
  id: 'disk',
  title: 'Disk',
  run: async ({ dataDirectory, capacity }) => {
    const path = await nearestExisting(dataDirectory);
    const freeMB = await readDiskFreeMB(path);
    const floorMB = diskFloorMB(capacity);
    const found = `${gigabytes(freeMB)} free on ${await fileSystemType(path)} for ${dataDirectory}`;
    if (freeMB <= floorMB) {
      return {
        status: 'fail',
        found,
        why: `No sandbox starts unless ${gigabytes(floorMB)} stay free.`,
        fix: 'Free disk space, or set OPENCOMPUTER_DATA_DIR to a larger file system.',
      };
    }
    if (freeMB <= floorMB + imageBuildMB) {
      const why = `Building the image takes up to ${gigabytes(imageBuildMB)}, and ${gigabytes(floorMB)} must stay free.`;
      return { status: 'warn', found, why, fix: 'Free disk space before you build.' };
    }
    return { status: 'ok', found };
  },
};

const fileSystem: CheckDefinition = {
  id: 'file-system',
  title: 'File system',
  run: async ({ dataDirectory, cacheDirectory }) => {
    const data = await nearestExisting(dataDirectory);
    const cache = await nearestExisting(cacheDirectory);
    const unwritable = await firstUnwritable([data, cache]);
    if (unwritable !== undefined) {
      return {
        status: 'fail',
        found: `this user may not write to ${unwritable}`,
        why: 'The platform keeps sandboxes there.',
        fix: 'Change its owner, or set OPENCOMPUTER_DATA_DIR (and OPENCOMPUTER_CACHE_DIR) to directories of your own.',
      };
    }
    const facts = await probeFileSystem(data, cache);
    const found =
      `${facts.type}; ${facts.reflink ? 'reflinks' : 'no reflinks: memory images are copied in full'}` +
      `; ${facts.hardLink ? 'hard links' : 'no hard links from the cache'}`;
    if (!facts.hardLink) {
      const why = facts.sameFileSystem
        ? 'Files cannot have a second name there, and layers are shared that way.'
        : 'Cache and data directory are on different file systems, and layers are shared by hard links.';
      return {
        status: 'fail',
        found,
        why,
        fix: 'Put OPENCOMPUTER_CACHE_DIR on the file system of the data directory.',
      };
    }
    if (!facts.sparse) {
      const why = 'Holes take space there: each disk and memory image takes its full size.';
      return { status: 'warn', found: `${found}; no sparse files`, why, fix: 'Use ext4, XFS or btrfs.' };
    }
    return { status: 'ok', found };
  },
};

const dataDirectoryPath: CheckDefinition = {
  id: 'data-directory',
  title: 'Data directory',
  run: ({ dataDirectory }) => {
    const bytes = Buffer.byteLength(resolve(dataDirectory));
    const found = `${dataDirectory} (${bytes} bytes)`;
    if (bytes <= dataDirectoryLimitBytes) return { status: 'ok', found };
    return {
      status: 'fail',
      found,
      why: `Unix sockets live below it and their paths are limited; it may have ${dataDirectoryLimitBytes} bytes.`,
      fix: 'Set OPENCOMPUTER_DATA_DIR to a shorter path.',
    };
  },
};

/** The path itself, or the nearest existing directory above it, in which the path would be made. */
async function nearestExisting(path: string): Promise<string> {
  for (let candidate = resolve(path); ; candidate = dirname(candidate)) {
    try {
      if ((await stat(candidate)).isDirectory()) return candidate;
      throw new Error(`${candidate} is no directory`);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' || candidate === '/') throw error;
    }
  }
}

async function firstUnwritable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await access(path, constants.W_OK);
    } catch {
      // Whatever the reason is, it can't be written.
      return path;
    }
  }
  return undefined;
}

function gigabytes(amountMB: number): string {
  return `${(amountMB / 1024).toFixed(1)} GiB`;
}

/** Memory and disk. */
export const resourceChecks: readonly CheckDefinition[] = [memory, disk, fileSystem, dataDirectoryPath];
