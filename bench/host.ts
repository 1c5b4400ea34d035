import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { probeFileSystem, readDiskFreeMB } from '@opencomputer/worker/bench';

/** What figures depend on that are compared with others. */
export interface HostFacts {
  cpu: string;
  cores: number;
  memoryMB: number;
  kernel: string;
  node: string;
  fileSystem: string;
  reflink: boolean;
  freeDiskMB: number;
  /** Load of the last minute, before the first measurement. */
  loadAtStart: number;
}

const mebibyte = 1024 * 1024;

/** @param directory where the data will be; @param cache where the templates are */
export async function readHostFacts(directory: string, cache: string): Promise<HostFacts> {
  const files = await probeFileSystem(directory, cache);
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMB: Math.round(totalmem() / mebibyte),
    kernel: release(),
    node: process.version,
    fileSystem: files.type,
    reflink: files.reflink,
    freeDiskMB: Math.round(await readDiskFreeMB(directory)),
    loadAtStart: loadavg()[0] ?? 0,
  };
}

/** True when other programs would take a good part of what is measured. */
export function isBusy(load: number, cores: number): boolean {
  return load > 0.5 * cores;
}

/** Processor time of a process and of its children that have ended, in milliseconds; 0 when it is gone. */
export async function processorMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  if (stat === undefined) return 0;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // utime, stime, cutime, cstime; in hundredths of a second for programs on Linux.
  return 10 * fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
}

async function memoryField(path: string, names: readonly string[]): Promise<number> {
  const text = await readFile(path, 'latin1');
  const kibibytes = names.map((name) => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    if (found === undefined) throw new Error(`${path} has no line ${name}`);
    return Number(found);
  });
  return kibibytes.reduce((sum, value) => sum + value, 0) / 1024;
}

/** Memory of a process that is in RAM, in MB. */
export function residentMB(pid: number): Promise<number> {
  return memoryField(`/proc/${pid}/status`, ['VmRSS']);
}

/** Memory that only this process has in RAM, and that its end would free, in MB. */
export function privateMB(pid: number): Promise<number> {
  return memoryField(`/proc/${pid}/smaps_rollup`, ['Private_Clean', 'Private_Dirty']);
}

/** What a process has changed of a file that it maps privately, in MB. @param file the end of its path */
export async function changedMB(pid: number, file: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps`, 'latin1');
  const mappings = text
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((part) => /^.*$/m.exec(part)?.[0].endsWith(file));
  const kibibytes = mappings.map((part) => Number(/^Anonymous:\s+(\d+) kB$/m.exec(part)?.[1] ?? 0));
  return kibibytes.reduce((sum, value) => sum + value, 0) / 1024;
}

/** Memory of the host that programs can still take, in MB. */
export function availableMB(): Promise<number> {
  return memoryField('/proc/meminfo', ['MemAvailable']);
}
