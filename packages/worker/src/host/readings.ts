import { readFile, statfs } from 'node:fs/promises';

/** What the host has at this moment. */
export interface HostReadings {
  readonly memoryTotalMB: number;
  /** What programs could take without swapping, as the kernel estimates it. */
  readonly memoryAvailableMB: number;
  /** What this user may still write on the data directory's file system. */
  readonly diskFreeMB: number;
}

export interface MemoryReadings {
  readonly totalMB: number;
  readonly availableMB: number;
}

const bytesPerMB = 1024 * 1024;

export async function readHost(dataDirectory: string): Promise<HostReadings> {
  const [memory, diskFreeMB] = await Promise.all([readMemory(), readDiskFreeMB(dataDirectory)]);
  return { memoryTotalMB: memory.totalMB, memoryAvailableMB: memory.availableMB, diskFreeMB };
}

export async function readMemory(): Promise<MemoryReadings> {
  return parseMemoryInfo(await readFile('/proc/meminfo', 'latin1'));
}

/** Parses the text of `/proc/meminfo`. @throws Error when `MemAvailable`, which Linux has had since 3.14, is missing */
export function parseMemoryInfo(text: string): MemoryReadings {
  const field = (name: string): number => {
    const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    if (kibibytes === undefined) throw new Error(`/proc/meminfo has no line ${name} in kB`);
    return Number(kibibytes) / 1024;
  };
  return { totalMB: field('MemTotal'), availableMB: field('MemAvailable') };
}

/** MB that this user may still write on the file system of `path`. */
export async function readDiskFreeMB(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return (bavail * bsize) / bytesPerMB;
}
