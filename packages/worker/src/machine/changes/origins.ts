import { dirname } from 'node:path';
import { ApiError, type MachineSpec } from '@opencomputer/protocol';
import { machineFiles } from '../../qemu/argv.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import { diskFiles, findDamage, memoryFiles } from '../../snapshots/damage.ts';
import { incompatibility, type Manifest } from '../../snapshots/manifest.ts';
import type { SnapshotStore } from '../../snapshots/store.ts';
import type { TemplateStore } from '../../templates/store.ts';

/** A template or a snapshot from which a machine is started. */
export interface Origin {
  directory: string;
  manifest: Manifest;
  /** Why its memory cannot be used: the machine boots from its disk. */
  coldBootReason: string | undefined;
}

/** What a machine is started with: memory and disk of its origin, or the disk alone. */
export function startsFrom({ manifest, coldBootReason }: Origin): 'memory' | 'disk' {
  return manifest.memory && coldBootReason === undefined ? 'memory' : 'disk';
}

/** Finds the origin of a machine: a template, or a snapshot whose memory may or may not be restorable on this host. */
export class Origins {
  readonly #templates: TemplateStore;
  readonly #snapshots: SnapshotStore;
  readonly #host: HostSetup;

  constructor(host: HostSetup, templates: TemplateStore, snapshots: SnapshotStore) {
    this.#host = host;
    this.#templates = templates;
    this.#snapshots = snapshots;
  }

  /** @throws ApiError `template_not_found`, `checkpoint_not_found`, `conflict` for another shape than the snapshot's */
  async find(spec: MachineSpec): Promise<Origin> {
    if (spec.snapshot !== undefined) return this.snapshot(spec.snapshot, spec);
    const template = await this.#templates.get(spec.template, spec);
    // Its other files were verified before it was first used.
    const damage = await findDamage(this.#host, template, [machineFiles.layer(0)]);
    if (damage !== undefined) throw imageDamaged(this.#host.images.rootfs, damage);
    return { ...template, coldBootReason: undefined };
  }

  /** A snapshot as the origin of a machine of this specification. @throws ApiError `snapshot_damaged` when its disk is */
  async snapshot(snapshotId: string, spec: MachineSpec): Promise<Origin> {
    const snapshot = await this.#snapshots.get(snapshotId);
    const { directory, manifest } = snapshot;
    checkShape(manifest, spec);
    const here = this.#templates.compatibility(manifest.name, spec);
    const damage = await findDamage(this.#host, snapshot, diskFiles(manifest));
    if (damage !== undefined)
      throw new ApiError('snapshot_damaged', `the disk of checkpoint ${snapshotId} is damaged: ${damage}`);
    if (!manifest.memory) return { directory, manifest, coldBootReason: undefined };
    const reason =
      incompatibility(manifest.compatibility, here) ?? (await findDamage(this.#host, snapshot, memoryFiles));
    return { directory, manifest, coldBootReason: reason };
  }
}

function imageDamaged(path: string, damage: string): ApiError {
  return new ApiError('creation_failed', `the root file system of machines is damaged: ${damage}`, {
    hint: `Stop the platform, remove ${dirname(path)} and start it: the image is built again.`,
  });
}

function checkShape({ compatibility }: Manifest, spec: MachineSpec): void {
  for (const field of ['cpuCount', 'memoryMB', 'diskMB'] as const)
    if (compatibility[field] !== spec[field])
      throw new ApiError(
        'conflict',
        `the snapshot has a ${field} of ${compatibility[field]}, not ${spec[field]}`,
      );
}
