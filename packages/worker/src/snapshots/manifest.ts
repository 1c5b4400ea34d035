import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemErrorCode } from '../host/errors.ts';
import { digestPattern } from '../host/integrity.ts';
import { openSealed } from '../host/sealed-json.ts';
import { type DiskLayer, type MachineSetup, machineArgv, machineFiles, socketsByName } from '../qemu/argv.ts';
import { checksumsPath } from './checksums.ts';

export const manifestFile = 'manifest.json';

/** Raised when older templates must no longer be used. Since 3, manifests hold checksums. */
const keyVersion = 3;

/** Names of a snapshot's own files; its disk layers are `machineFiles.layer(n)`. */
export const snapshotFiles = { devices: machineFiles.devices, ram: machineFiles.ram } as const;

/** A layer of a disk, with the digest of its checksums where that is known. */
export interface Layer extends DiskLayer {
  digest?: string | undefined;
}

export const compatibilitySchema = z.object({
  qemu: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  cpuModel: z.string(),
  /** Model of the host's processor where the guest sees it (KVM), else empty. */
  hostCpu: z.string(),
  cpuCount: z.number().int().min(1),
  memoryMB: z.number().int().min(1),
  diskMB: z.number().int().min(0),
  /** Content keys of the boot files (kernel, initramfs with guest agent) and of the root file system. */
  boot: z.string(),
  rootfs: z.string(),
  /** Hash of the command line without names and paths. */
  argv: z.string(),
});

/** Everything that must be equal for a machine's device state and memory to be restored. */
export type Compatibility = z.infer<typeof compatibilitySchema>;

const manifestSchema = z.object({
  format: z.literal(1),
  key: z.string().regex(/^[0-9a-f-]{32,36}$/),
  name: z.string(),
  compatibility: compatibilitySchema,
  layers: z.array(z.enum(['raw', 'qcow2'])).max(256),
  /** False for a snapshot of the disk alone. */
  memory: z.boolean(),
  /** The bytes that only this snapshot occupies, and how long the machine was paused for it. */
  sizeBytes: z.number().int().min(0),
  pauseMs: z.number().min(0),
  /** Whether the guest was quiesced and wrote out its file system first; absent in manifests of older workers. */
  quiesced: z.boolean().optional(),
  agentGeneration: z.number().int(),
  /** Size of each file in bytes, by name: a file that was cut off must not be used. */
  sizes: z.record(z.string(), z.number().int().min(0)),
  /** Digests of the files' checksums, by name; absent in manifests of older workers. */
  digests: z.record(z.string(), z.string().regex(digestPattern)).optional(),
  createdAt: z.string(),
});

/** Describes a snapshot. It is written last: a directory without it is not a snapshot. */
export type Manifest = z.infer<typeof manifestSchema>;

/**
 * Stands for any disk and any network: the guest does not see how many layers there are, or what carries its packets.
 */
const neutralParts = {
  name: '',
  layers: [{ file: 'layer', format: 'raw' }],
  top: 'top',
  network: ['-netdev', 'id=net0'],
  sockets: socketsByName,
  ram: 'private',
  start: { kind: 'restore' },
} as const;

/** Hash of the machine that a command line describes. */
export function argvHash(setup: MachineSetup): string {
  const neutral = machineArgv({ ...setup, ...neutralParts });
  return createHash('sha256').update(JSON.stringify(neutral)).digest('hex').slice(0, 16);
}

/** The name under which a snapshot with this compatibility is kept. */
export function compatibilityKey(name: string, compatibility: Compatibility): string {
  const ordered = Object.entries(compatibility).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([keyVersion, name, ordered]))
    .digest('hex')
    .slice(0, 32);
}

/**
 * Why the memory of a snapshot cannot be restored here; undefined when it can. Boot files and root file system don't
 * matter: they are in the snapshot itself.
 */
export function incompatibility(snapshot: Compatibility, here: Compatibility): string | undefined {
  const names = {
    qemu: 'QEMU',
    accelerator: 'acceleration',
    cpuModel: 'CPU model',
    hostCpu: 'processor',
    argv: 'set of devices',
  };
  for (const [field, name] of Object.entries(names) as [keyof typeof names, string][])
    if (snapshot[field] !== here[field])
      return `it was saved with another ${name} (${snapshot[field]}, here ${here[field]})`;
  return undefined;
}

/**
 * Reads the manifest of a snapshot.
 * @returns undefined when the directory holds none
 * @throws Error when it is damaged
 */
export async function readManifest(directory: string): Promise<Manifest | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, manifestFile), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return manifestSchema.parse(openSealed(text));
  } catch (error) {
    throw new Error(`the manifest of the snapshot in ${directory} is damaged`, { cause: error });
  }
}

/** Sizes in bytes of the files that a snapshot consists of. */
export async function sizesOf(directory: string): Promise<Record<string, number>> {
  const own = new Set([manifestFile, checksumsPath(snapshotFiles.ram)]);
  const names = (await readdir(directory)).filter((name) => !own.has(name));
  const sizes = await Promise.all(
    names.map(async (name) => [name, (await stat(join(directory, name))).size]),
  );
  return Object.fromEntries(sizes) as Record<string, number>;
}
