import { ApiError, type MachineSpec } from '@opencomputer/protocol';
import type { SnapshotStore } from '../snapshots/store.ts';
import type { TemplateStore } from '../templates/store.ts';
import type { Origin } from './create.ts';
import { assertWhole, incompatibility, type Manifest } from './manifest.ts';

/** Finds what machines begin from: templates, and snapshots whose memory may or may not be restorable here. */
export class Origins {
  readonly #templates: TemplateStore;
  readonly #snapshots: SnapshotStore;

  constructor(templates: TemplateStore, snapshots: SnapshotStore) {
    this.#templates = templates;
    this.#snapshots = snapshots;
  }

  /** @throws ApiError `template_not_found`, `checkpoint_not_found`, `conflict` for another shape than the snapshot's */
  async find(spec: MachineSpec): Promise<Origin> {
    if (spec.snapshot !== undefined) return this.snapshot(spec.snapshot, spec);
    const template = await this.#templates.get(spec.template, spec);
    return { ...template, coldBootReason: undefined };
  }

  /** A snapshot as the origin of a machine of this specification. */
  async snapshot(snapshotId: string, spec: MachineSpec): Promise<Origin> {
    const { directory, manifest } = await this.#snapshots.get(snapshotId);
    checkShape(manifest, spec);
    const here = this.#templates.compatibility(manifest.name, spec);
    if (!manifest.memory) return { directory, manifest, coldBootReason: undefined };
    const reason = incompatibility(manifest.compatibility, here) ?? (await damage(directory, manifest));
    return { directory, manifest, coldBootReason: reason };
  }
}

/** What is wrong with the files of a snapshot. Its disk may be whole all the same. */
async function damage(directory: string, manifest: Manifest): Promise<string | undefined> {
  try {
    await assertWhole(directory, manifest);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function checkShape({ compatibility }: Manifest, spec: MachineSpec): void {
  for (const field of ['cpuCount', 'memoryMB', 'diskMB'] as const)
    if (compatibility[field] !== spec[field])
      throw new ApiError(
        'conflict',
        `the snapshot has a ${field} of ${compatibility[field]}, not ${spec[field]}`,
      );
}
