import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { z } from 'zod';
import { describeIssues } from '@opencomputer/protocol';
import type { GuestProxy } from './host/guest-proxy.ts';

/** A unix socket's path has 107 bytes at most, and the longest of ours is 42 below the data directory. */
const dataDirBytes = 60;

const environmentSchema = z.object({
  OPENCOMPUTER_DATA_DIR: z
    .string()
    .min(1)
    .refine(
      (path) => Buffer.byteLength(resolve(path)) <= dataDirBytes,
      `may have ${dataDirBytes} bytes: unix sockets below it have short paths`,
    ),
  OPENCOMPUTER_CACHE_DIR: z.string().min(1).optional(),
  OPENCOMPUTER_BOOT_IMAGE: z.string().min(1).meta({ description: 'Directory with kernel and initramfs.' }),
  OPENCOMPUTER_ROOTFS_IMAGE: z.string().min(1).meta({ description: 'Directory with rootfs.ext4.' }),
  OPENCOMPUTER_JAILER: z.string().min(1).meta({ description: 'The program that starts QEMU.' }),
  OPENCOMPUTER_WORKER_SOCKET: z.string().min(1).optional(),
  OPENCOMPUTER_ACCEL: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  OPENCOMPUTER_SUBNET: z.string().optional(),
  OPENCOMPUTER_WARM_NETWORKS: z.coerce.number().int().min(0).max(64).default(8),
  OPENCOMPUTER_MAX_MACHINES: z.coerce.number().int().min(1).max(4000).default(500),
  OPENCOMPUTER_MEMORY_OVERCOMMIT: z.coerce.number().min(0.1).max(64).default(4),
  OPENCOMPUTER_MIN_FREE_DISK_MB: z.coerce.number().int().min(0).default(2048),
  OPENCOMPUTER_GUEST_CA_CERTIFICATES: z.string().min(1).optional(),
  OPENCOMPUTER_GUEST_HTTP_PROXY: z.string().optional(),
  OPENCOMPUTER_GUEST_HTTPS_PROXY: z.string().optional(),
  OPENCOMPUTER_GUEST_NO_PROXY: z.string().optional(),
  OPENCOMPUTER_SOCKET_OWNER: z
    .string()
    .regex(/^\d+:\d+$/)
    .optional(),
  OPENCOMPUTER_TEST_FAULTS: z.string().min(1).optional(),
  OPENCOMPUTER_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
});

/** The environment variables that are read, here and where QEMU is looked for. */
export const settingNames: readonly string[] = [...Object.keys(environmentSchema.shape), 'OPENCOMPUTER_QEMU'];

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
  maxMachines: number;
  memoryOvercommit: number;
  minFreeDiskMB: number;
  /** PEM file of certificates that guests trust beside their own. */
  guestCertificates: string | undefined;
  /** The proxy that guests are told of. */
  guestProxy: GuestProxy;
  /** User and group that may call the worker, when it is root and the server is not. */
  socketOwner: { uid: number; gid: number } | undefined;
  logLevel: string;
  /** For tests only: the file that says at which step of a change to fail. See `machine/faults.ts`. */
  testFaults: string | undefined;
  /** Tells installations on one host apart: a hash of the data directory. */
  instanceTag: string;
}

/** Tells installations on one host apart, and names what they have in its kernel. */
export function instanceTagOf(dataDir: string): string {
  return createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 8);
}

/** Reads the configuration. @throws Error that names the variable that is wrong */
export function readConfig(environment: NodeJS.ProcessEnv): WorkerConfig {
  // A variable that is set to nothing counts as absent.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = environmentSchema.safeParse(given);
  if (!parsed.success) throw new Error(`bad configuration: ${describeIssues(parsed.error)}`);
  const values = parsed.data;
  const dataDir = resolve(values.OPENCOMPUTER_DATA_DIR);
  const [uid, gid] = values.OPENCOMPUTER_SOCKET_OWNER?.split(':').map(Number) ?? [];
  return {
    dataDir,
    cacheDir: resolve(values.OPENCOMPUTER_CACHE_DIR ?? `${dataDir}/cache`),
    bootImage: values.OPENCOMPUTER_BOOT_IMAGE,
    rootfsImage: values.OPENCOMPUTER_ROOTFS_IMAGE,
    jailer: resolve(values.OPENCOMPUTER_JAILER),
    socket: values.OPENCOMPUTER_WORKER_SOCKET ?? `${dataDir}/worker/worker.sock`,
    acceleration: values.OPENCOMPUTER_ACCEL,
    subnet: values.OPENCOMPUTER_SUBNET,
    warmNetworks: values.OPENCOMPUTER_WARM_NETWORKS,
    maxMachines: values.OPENCOMPUTER_MAX_MACHINES,
    memoryOvercommit: values.OPENCOMPUTER_MEMORY_OVERCOMMIT,
    minFreeDiskMB: values.OPENCOMPUTER_MIN_FREE_DISK_MB,
    guestCertificates: values.OPENCOMPUTER_GUEST_CA_CERTIFICATES,
    guestProxy: {
      OPENCOMPUTER_GUEST_HTTP_PROXY: values.OPENCOMPUTER_GUEST_HTTP_PROXY,
      OPENCOMPUTER_GUEST_HTTPS_PROXY: values.OPENCOMPUTER_GUEST_HTTPS_PROXY,
      OPENCOMPUTER_GUEST_NO_PROXY: values.OPENCOMPUTER_GUEST_NO_PROXY,
    },
    socketOwner: uid === undefined || gid === undefined ? undefined : { uid, gid },
    logLevel: values.OPENCOMPUTER_LOG_LEVEL,
    testFaults: values.OPENCOMPUTER_TEST_FAULTS,
    instanceTag: instanceTagOf(dataDir),
  };
}
