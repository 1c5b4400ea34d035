import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import {
  cacheDirectory,
  dataDirectory,
  type Environment,
  readSettings,
  workerSocket,
} from '@opencomputer/process/configuration';
import type { CapacityConfig } from './host/capacity.ts';
import type { GuestProxy } from './host/guest-proxy.ts';

/** A unix socket's path has 107 bytes at most, and the longest of ours is 42 below the data directory. */
const dataDirBytes = 60;

export interface WorkerConfig {
  dataDir: string;
  cacheDir: string;
  bootImage: string;
  rootfsImage: string;
  /** Path of the program that starts QEMU. */
  jailer: string;
  socket: string;
  acceleration: 'auto' | 'kvm' | 'tcg';
  subnet: string | undefined;
  warmNetworks: number;
  /** The rules of admission for machines. */
  capacity: CapacityConfig;
  /** PEM file of certificates that guests trust in addition to their own. */
  guestCertificates: string | undefined;
  /** The proxy that guests use. */
  guestProxy: GuestProxy;
  /** User and group that may call the worker, where the worker is root and the server is not. */
  socketOwner: { uid: number; gid: number } | undefined;
  logLevel: string;
  /** For tests only: the file that says at which step of a change to fail. See `machine/faults.ts`. */
  testFaults: string | undefined;
  /** Tells installations on one host apart: a hash of the data directory. */
  instanceTag: string;
}

/** Tells installations on one host apart; part of the name of everything that they have in the host's kernel. */
export function instanceTagOf(dataDir: string): string {
  return createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 8);
}

/** The part that is known before the images are built: how machines run, and the rules of admission. */
export type HostRules = Pick<WorkerConfig, 'acceleration' | 'capacity'>;

/** Reads the rules of this host alone. @throws Error that names the variable that is wrong */
export function readHostRules(environment: Environment): HostRules {
  const values = readSettings('worker', environment, [
    'OPENCOMPUTER_ACCEL',
    'OPENCOMPUTER_MAX_MACHINES',
    'OPENCOMPUTER_MEMORY_OVERCOMMIT',
    'OPENCOMPUTER_MIN_FREE_DISK_MB',
  ]);
  return {
    acceleration: values.OPENCOMPUTER_ACCEL,
    capacity: {
      maxMachines: values.OPENCOMPUTER_MAX_MACHINES,
      memoryOvercommit: values.OPENCOMPUTER_MEMORY_OVERCOMMIT,
      minFreeDiskMB: values.OPENCOMPUTER_MIN_FREE_DISK_MB,
    },
  };
}

/** Reads the configuration. @throws Error that names the variable that is wrong */
export function readConfig(environment: Environment): WorkerConfig {
  const values = readSettings('worker', environment);
  const dataDir = dataDirectory(values);
  if (Buffer.byteLength(dataDir) > dataDirBytes)
    throw new Error(
      `configuration: OPENCOMPUTER_DATA_DIR: may have ${dataDirBytes} bytes: unix sockets below it have short paths`,
    );
  return {
    ...readHostRules(environment),
    dataDir,
    cacheDir: cacheDirectory(values),
    bootImage: values.OPENCOMPUTER_BOOT_IMAGE,
    rootfsImage: values.OPENCOMPUTER_ROOTFS_IMAGE,
    jailer: resolve(values.OPENCOMPUTER_JAILER),
    socket: workerSocket(values),
    subnet: values.OPENCOMPUTER_SUBNET,
    warmNetworks: values.OPENCOMPUTER_WARM_NETWORKS,
    guestCertificates: values.OPENCOMPUTER_GUEST_CA_CERTIFICATES,
    guestProxy: {
      OPENCOMPUTER_GUEST_HTTP_PROXY: values.OPENCOMPUTER_GUEST_HTTP_PROXY,
      OPENCOMPUTER_GUEST_HTTPS_PROXY: values.OPENCOMPUTER_GUEST_HTTPS_PROXY,
      OPENCOMPUTER_GUEST_NO_PROXY: values.OPENCOMPUTER_GUEST_NO_PROXY,
    },
    socketOwner: values.OPENCOMPUTER_SOCKET_OWNER,
    logLevel: values.OPENCOMPUTER_LOG_LEVEL,
    testFaults: values.OPENCOMPUTER_TEST_FAULTS,
    instanceTag: instanceTagOf(dataDir),
  };
}
