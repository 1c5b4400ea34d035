import type { HostReadings } from './readings.ts';

export interface CapacityConfig {
  /** How much memory all machines together may be promised, as a multiple of the host's memory. */
  readonly memoryOvercommit: number;
  /** Memory that must stay available on the host; by default the larger of 512 MB and 5 % of it. */
  readonly memoryFloorMB?: number | undefined;
  /** Disk that must stay free beside the data; never less than 2 GiB. */
  readonly minFreeDiskMB: number;
  readonly maxMachines: number;
}

export const defaultCapacity: CapacityConfig = {
  memoryOvercommit: 4,
  minFreeDiskMB: 2048,
  maxMachines: 1000,
};

/** What has been promised so far. */
export interface Commitments {
  readonly machines: number;
  /** Guest memory of all machines. */
  readonly committedMB: number;
  /** Memory that starting machines are expected to take and that the readings don't show yet. */
  readonly startingMemoryMB: number;
  /** The same for disk. */
  readonly startingDiskMB: number;
}

/** What a machine needs. */
export interface MachineDemand {
  readonly memoryMB: number;
  /** How much it is expected to write while it starts (not the size of its disk, which is sparse). */
  readonly diskMB: number;
}

export interface AdmissionRequest extends MachineDemand {
  readonly host: HostReadings;
  readonly config: CapacityConfig;
  readonly current: Commitments;
}

export interface Refusal {
  readonly ok: false;
  readonly code: 'no_capacity';
  /** The limit that was reached. */
  readonly limit: 'machines' | 'committed_memory' | 'available_memory' | 'disk';
  readonly message: string;
  readonly hint: string;
}

export type Admission = { readonly ok: true } | Refusal;

/** Memory that a machine of this size takes while it starts: QEMU itself and the pages that guests touch first. */
export function startingMemoryMB(memoryMB: number): number {
  return 64 + memoryMB / 4;
}

/** Memory that must stay available on the host. */
export function memoryFloorMB(config: CapacityConfig, memoryTotalMB: number): number {
  return config.memoryFloorMB ?? Math.max(512, memoryTotalMB * 0.05);
}

/** Disk that must stay free. */
export function diskFloorMB(config: CapacityConfig): number {
  return Math.max(2048, config.minFreeDiskMB);
}

/**
 * Decides whether the host can take one more machine. @throws RangeError for values that are not numbers, or negative
 */
export function admit(request: AdmissionRequest): Admission {
  const { memoryMB, diskMB, host, config, current } = request;
  assertNumbers({ memoryMB, diskMB, ...host, ...config, ...current });

  if (current.machines + 1 > config.maxMachines) {
    return refuse(
      'machines',
      `This host already has ${current.machines} machines; its limit is ${config.maxMachines}.`,
      'Kill a sandbox that is no longer needed, or raise the limit of machines.',
    );
  }
  const committableMB = config.memoryOvercommit * host.memoryTotalMB;
  if (current.committedMB + memoryMB > committableMB) {
    return refuse(
      'committed_memory',
      `${mb(memoryMB)} more would commit ${mb(current.committedMB + memoryMB)} to machines; this host has ` +
        `${mb(host.memoryTotalMB)} and commits at most ${config.memoryOvercommit} times that.`,
      'Kill a sandbox that is no longer needed, or ask for less memory.',
    );
  }
  const memoryLeftMB = host.memoryAvailableMB - current.startingMemoryMB - startingMemoryMB(memoryMB);
  const floorMB = memoryFloorMB(config, host.memoryTotalMB);
  if (memoryLeftMB < floorMB) {
    return refuse(
      'available_memory',
      `Starting a machine of ${mb(memoryMB)} takes ${mb(startingMemoryMB(memoryMB))}; ` +
        `${mb(host.memoryAvailableMB)} are available, machines that are starting will take ` +
        `${mb(current.startingMemoryMB)} of them, and ${mb(floorMB)} must stay free.`,
      'Kill a sandbox that is no longer needed, ask for less memory, or try again when others have started.',
    );
  }
  const diskLeftMB = host.diskFreeMB - current.startingDiskMB - diskMB;
  if (diskLeftMB < diskFloorMB(config)) {
    return refuse(
      'disk',
      `Starting this machine takes ${mb(diskMB)} of disk; ${mb(host.diskFreeMB)} are free, machines that are ` +
        `starting will take ${mb(current.startingDiskMB)} of them, and ${mb(diskFloorMB(config))} must stay free.`,
      'Free disk space on the host, or move the data directory to a larger file system.',
    );
  }
  return { ok: true };
}

function refuse(limit: Refusal['limit'], message: string, hint: string): Refusal {
  return { ok: false, code: 'no_capacity', limit, message, hint };
}

function mb(amount: number): string {
  return `${Math.round(amount)} MB`;
}

/** NaN is never greater than a limit, and a negative request would make room: neither may get in. */
function assertNumbers(numbers: Readonly<Record<string, number | undefined>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (value !== undefined && !(Number.isFinite(value) && value >= 0)) {
      throw new RangeError(`${name} must be a finite number and at least 0, not ${value}`);
    }
  }
}
