import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError, type SnapshotKind } from '@opencomputer/protocol';
import { linkFile } from '../../disk/links.ts';
import { discardDirectory } from '../../disk/trash.ts';
import type { ByteRange } from '../../host/checksums.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { copyRamImage, ramMode } from '../../qemu/ram.ts';
import { sealFile, takeFile } from '../../qemu/run-files.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import { inheritChecksums, saveChecksums } from '../../snapshots/checksums.ts';
import { digestsOf } from '../../snapshots/damage.ts';
import { layersOf } from '../../snapshots/link.ts';
import { type Compatibility, type Manifest, snapshotFiles } from '../../snapshots/manifest.ts';
import { sealSnapshot } from '../../snapshots/seal.ts';
import { occupiedBytes, type SnapshotStore } from '../../snapshots/store.ts';
import type { Machine } from '../machine.ts';
import { atStep } from '../steps.ts';
import { endFlattening } from './flatten.ts';
import { quiet, stopMachine, takeMemory } from './freeze.ts';
import { NextOverlay } from './next-overlay.ts';

/**
 * Takes a snapshot of a running machine, which goes on. The snapshot is durable when this returns.
 * @param snapshot.here what machines of this host are compatible with
 * @param snapshot.requireQuiesced refuses to save a guest that cannot be quiesced
 * @throws ApiError `snapshot_failed` for such a guest; Error when it could not be taken; the machine runs on and no snapshot is left
 */
export async function snapshotMachine(
  host: HostSetup,
  store: SnapshotStore,
  machine: Machine,
  snapshot: { id: string; kind: SnapshotKind; here: Compatibility; requireQuiesced: boolean },
): Promise<Manifest> {
  const { id, kind, here, requireQuiesced } = snapshot;
  const memory = kind === 'full';
  await endFlattening(machine);
  const staging = await store.stage(id);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => discardDirectory(staging, host.trash));
  stack.defer(() => rm(join(machine.runDirectory, snapshotFiles.devices), { force: true }));
  const ram = join(staging, snapshotFiles.ram);
  const image = join(machine.runDirectory, machineFiles.ram);
  const overlay = await NextOverlay.announce(host, machine);
  stack.defer(() => overlay.withdrawUnused());
  await atStep('snapshot:overlaid', machine.id);
  if (memory) await copyRamImage(image, ram);
  const checksums = memory ? await inheritChecksums(host, image, ram) : undefined;

  await atStep('snapshot:copied', machine.id);
  const quiesced = await quiet(machine, host.log);
  if (requireQuiesced && !quiesced)
    throw new ApiError(
      'snapshot_failed',
      `no checkpoint of sandbox ${machine.id} was taken: its guest did not come to rest, and the request demands that`,
      {
        hint: 'Try again later, or without requireQuiesced: the checkpoint then says quiesced: false, and its disk is what a power cut would leave.',
      },
    );
  const stopped = performance.now();
  let changed: ByteRange[] = [];
  try {
    await stopMachine(machine);
    await atStep('snapshot:stopped', machine.id);
    if (memory) changed = await takeMemory(machine, ram);
    await atStep('snapshot:taken', machine.id);
    await overlay.switchTo();
    await atStep('snapshot:switched', machine.id);
  } finally {
    await machine.qmp.run('cont');
  }
  const pauseMs = Math.round((performance.now() - stopped) * 10) / 10;

  await atStep('snapshot:running', machine.id);

  await gather(host, machine, staging, memory);
  const digests = await sumFiles(host, machine, staging);
  if (checksums !== undefined) {
    digests[snapshotFiles.ram] = await saveChecksums(host, ram, checksums, changed);
    Object.assign(digests, await digestsOf(host.integrity, staging, [snapshotFiles.devices]));
  }
  await atStep('snapshot:gathered', machine.id);
  const { layers, spec } = machine.record;
  const newest = join(staging, machineFiles.layer(layers.length - 1));
  const sizeBytes = (await occupiedBytes(newest)) + (memory ? await occupiedBytes(ram) : 0);
  const description: Omit<Manifest, 'sizes'> = {
    format: 1,
    key: id,
    name: spec.template,
    compatibility: { ...here, cpuCount: spec.cpuCount, memoryMB: spec.memoryMB, diskMB: spec.diskMB },
    layers: layers.map(({ format }) => format),
    memory,
    sizeBytes,
    pauseMs,
    quiesced,
    digests,
    agentGeneration: machine.channel.agent?.generation ?? 1,
    createdAt: new Date().toISOString(),
  };
  const manifest = await sealSnapshot(staging, description);
  await atStep('snapshot:sealed', machine.id);
  await store.publish(staging, id);
  stack.move();
  await atStep('snapshot:published', machine.id);
  return manifest;
}

/** Collects a snapshot's files. */
async function gather(host: HostSetup, machine: Machine, staging: string, memory: boolean): Promise<void> {
  const { layers } = machine.record;
  const names = layersOf(layers.map(({ format }) => format));
  for (const [index, { file }] of layers.entries())
    await linkFile(join(machine.runDirectory, file), join(staging, names[index]?.file ?? file));
  // The newest layer, and those of snapshots that did not complete: forks run as other users and must be able to read
  // them.
  for (const [index, { file }] of layers.entries())
    if (file.startsWith('disk')) await takeFile(join(staging, names[index]?.file ?? file), 0o444);
  if (!memory) return;
  const ram = join(staging, snapshotFiles.ram);
  const devices = join(staging, snapshotFiles.devices);
  await rename(join(machine.runDirectory, snapshotFiles.devices), devices);
  await sealFile(ram, ramMode(host.qemu.features));
  await takeFile(devices, 0o400, 1);
}

/**
 * Digests of a snapshot's disk. Those of older layers are in the machine's record; the others are added to it. A layer
 * from a snapshot of an older worker has none.
 */
async function sumFiles(host: HostSetup, machine: Machine, staging: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  const layers = [];
  for (const [index, layer] of machine.record.layers.entries()) {
    const name = machineFiles.layer(index);
    const own = layer.digest === undefined && layer.file.startsWith('disk');
    const digest = own ? await host.integrity.digest(join(staging, name)) : layer.digest;
    if (digest !== undefined) digests[name] = digest;
    layers.push(digest === undefined ? layer : { ...layer, digest });
  }
  await machine.save({ layers });
  return digests;
}
