import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError, type SnapshotInfo } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/trash.ts';
import { syncDirectory } from '../host/atomic-file.ts';
import { systemErrorCode } from '../host/errors.ts';
import { type Manifest, readManifest } from './manifest.ts';
import { publishSnapshot } from './seal.ts';

const stagingPrefix = '.making-';
const blockBytes = 512;

/** A snapshot on this host. */
export interface Snapshot {
  directory: string;
  manifest: Manifest;
}

/** The snapshots that clients have asked for: one directory each, complete when its manifest is there. */
export class SnapshotStore {
  readonly #directory: string;
  readonly #trash: string;

  constructor(directory: string, trash: string) {
    this.#directory = directory;
    this.#trash = trash;
  }

  /** Removes snapshots that were not complete when the last worker ended. */
  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const entry of await readdir(this.#directory))
      if (entry.startsWith(stagingPrefix)) await discardDirectory(join(this.#directory, entry), this.#trash);
  }

  /** Makes the directory in which a snapshot is put together. The snapshot can be found once it is published. */
  async stage(id: string): Promise<string> {
    const directory = join(this.#directory, stagingPrefix + id);
    await discardDirectory(directory, this.#trash);
    await mkdir(directory, { mode: 0o700 });
    return directory;
  }

  path(id: string): string {
    return join(this.#directory, id);
  }

  /**
   * Publishes a snapshot: from now on it can be found. It survives a power cut when this returns.
   * @param staging the directory that `stage` gave for it, complete
   * @throws Error when there is a snapshot with this id; it stays as it is
   */
  publish(staging: string, id: string): Promise<void> {
    return publishSnapshot(staging, this.path(id));
  }

  /** @returns undefined when there is none @throws ApiError `snapshot_damaged` when its manifest is */
  async find(id: string): Promise<Snapshot | undefined> {
    let manifest;
    try {
      manifest = await readManifest(this.path(id));
    } catch (error) {
      if (systemErrorCode(error) !== undefined) throw error;
      throw new ApiError('snapshot_damaged', `the description of checkpoint ${id} is damaged`, {
        cause: error,
      });
    }
    return manifest === undefined ? undefined : { directory: this.path(id), manifest };
  }

  /** @throws ApiError `checkpoint_not_found` */
  async get(id: string): Promise<Snapshot> {
    const found = await this.find(id);
    if (found === undefined) throw new ApiError('checkpoint_not_found', `this worker has no snapshot ${id}`);
    return found;
  }

  /** All snapshots, and the ids of those whose manifest is damaged. */
  async list(): Promise<{ snapshots: SnapshotInfo[]; damaged: string[] }> {
    const snapshots: SnapshotInfo[] = [];
    const damaged: string[] = [];
    for (const id of (await readdir(this.#directory)).filter((entry) => !entry.startsWith('.'))) {
      try {
        const found = await this.find(id);
        if (found !== undefined) snapshots.push(snapshotInfo(found.manifest));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        damaged.push(id);
      }
    }
    return { snapshots, damaged };
  }

  /** Deletes a snapshot. Files that machines or other snapshots share with it stay. */
  async delete(id: string): Promise<void> {
    await discardDirectory(this.path(id), this.#trash);
    await syncDirectory(this.#directory);
  }
}

/** Bytes that a file occupies on disk. */
export async function occupiedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * blockBytes;
}

export function snapshotInfo(manifest: Manifest): SnapshotInfo {
  const { cpuCount, memoryMB, diskMB } = manifest.compatibility;
  return {
    id: manifest.key,
    kind: manifest.memory ? 'full' : 'disk_only',
    cpuCount,
    memoryMB,
    diskMB,
    sizeBytes: manifest.sizeBytes,
    createdAt: manifest.createdAt,
    pauseMs: manifest.pauseMs,
    ...(manifest.quiesced === undefined ? {} : { quiesced: manifest.quiesced }),
  };
}
