import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { processIdentity, type ProcessIdentity } from '@opencomputer/worker/processes';

/** The running process of one part of the platform that this launcher started. */
export function partOf(launcher: number, name: 'server' | 'worker'): ProcessIdentity | undefined {
  const module = `packages/${name}/src/main.ts`;
  for (const pid of children(launcher))
    if (commandLine(pid).some((word) => word.endsWith(module))) return processIdentity(pid);
  return undefined;
}

/** QEMU processes below a data directory: by sandbox id, or by their whole name where they are no sandbox's. */
export function machinesBelow(dataDir: string): Map<string, ProcessIdentity> {
  const found = new Map<string, ProcessIdentity>();
  for (const pid of readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const words = commandLine(pid);
    const name = words[words.indexOf('-name') + 1] ?? '';
    if (!/^opencomputer-[0-9a-f]{8}-/.test(name)) continue;
    if (readlink(`/proc/${pid}/cwd`)?.startsWith(`${dataDir}/`) !== true) continue;
    const identity = processIdentity(pid);
    if (identity !== undefined) found.set(/sb-[0-9a-f]{8}/.exec(name)?.[0] ?? name, identity);
  }
  return found;
}

/** Resident memory of a process in bytes; 0 when it has ended. */
export function residentBytes(pid: number): number {
  const status = readProc(`/proc/${pid}/status`) ?? '';
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

function children(pid: number): number[] {
  return (readProc(`/proc/${pid}/task/${pid}/children`) ?? '').split(/\s+/).filter(Boolean).map(Number);
}

function commandLine(pid: number): string[] {
  return (readProc(`/proc/${pid}/cmdline`) ?? '').split('\0');
}

/** Processes come and go while they are looked at: undefined when this one is gone. */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
