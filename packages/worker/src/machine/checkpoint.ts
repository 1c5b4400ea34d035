import { randomBytes } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SnapshotKind } from '@opencomputer/protocol';
import { discardDirectory, linkFile } from '../disk/overlay.ts';
import type { ByteRange } from '../host/checksums.ts';
import { occupiedBytes, type SnapshotStore } from '../snapshots/store.ts';
import { type DiskLayer, machineFiles } from './argv.ts';
import { liveNode } from './block-nodes.ts';
import { digestsOf } from './damage.ts';
import { layersOf, makeOverlay } from './directory.ts';
import { quiet, stopMachine, takeMemory } from './freeze.ts';
import type { Machine } from './machine.ts';
import { type Compatibility, type Manifest, snapshotFiles } from './manifest.ts';
import { inheritSums, saveSums } from './memory-sums.ts';
import { machineUid, type Platform } from './platform.ts';
import { copyRamImage, ramMode } from './ram.ts';
import { sealFile, sealSnapshot } from './snapshot.ts';

/** A file for the next overlay of a run that none of its layers has. */
function nextOverlay(layers: readonly DiskLayer[], top: string): string {
  const taken = new Set([top, ...layers.map(({ file }) => file)]);
  for (let number = 1; ; number++) if (!taken.has(`disk-${number}.qcow2`)) return `disk-${number}.qcow2`;
}

/**
 * Puts a new, empty overlay on top of a stopped machine's disk; the old top is a layer from then on. The record
 * names the new chain first: an empty overlay holds what is below it, so that a crash in between changes nothing.
 */
async function addOverlay(machine: Machine, top: string): Promise<void> {
  const { layers, top: old } = machine.record;
  const node = await liveNode(machine.qmp);
  // Unlike any that the machine has or had.
  const overlay = `disk-${randomBytes(4).toString('hex')}`;
  await machine.save({ layers: [...layers, { file: old, format: 'qcow2' }], top });
  await machine.qmp.run('blockdev-add', {
    driver: 'qcow2',
    'node-name': overlay,
    discard: 'unmap',
    'detect-zeroes': 'unmap',
    file: { driver: 'file', filename: top, discard: 'unmap' },
    backing: null,
  });
  await machine.qmp.run('blockdev-snapshot', { node, overlay });
}

/**
 * Takes a snapshot of a running machine, which goes on. The snapshot is durable when this returns.
 * @param here what machines of this host are compatible with
 * @throws Error when it could not be taken; the machine runs on and no snapshot is left
 */
export async function checkpointMachine(
  platform: Platform,
  store: SnapshotStore,
  machine: Machine,
  snapshot: { id: string; kind: SnapshotKind; here: Compatibility },
): Promise<Manifest> {
  const { id, kind, here } = snapshot;
  const memory = kind === 'full';
  const staging = await store.stage(id);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => discardDirectory(staging, platform.trash));
  stack.defer(() => rm(join(machine.runDirectory, snapshotFiles.devices), { force: true }));
  const ram = join(staging, snapshotFiles.ram);
  const image = join(machine.runDirectory, machineFiles.ram);
  if (memory) await copyRamImage(image, ram);
  const sums = memory ? await inheritSums(platform, image, ram) : undefined;
  const top = nextOverlay(machine.record.layers, machine.record.top);
  const overlay = join(machine.runDirectory, top);
  await rm(overlay, { force: true });
  let unused = true;
  stack.defer(async () => {
    if (unused) await rm(overlay, { force: true });
  });
  await makeOverlay(overlay, platform.overlays, machine.record.spec.diskMB, machineUid(machine.slot));

  await quiet(machine, platform.log);
  const stopped = performance.now();
  let changed: ByteRange[] = [];
  try {
    await stopMachine(machine);
    if (memory) changed = await takeMemory(machine, ram);
    unused = false;
    await addOverlay(machine, top);
  } finally {
    await machine.qmp.run('cont');
  }
  const pauseMs = Math.round((performance.now() - stopped) * 10) / 10;

  await gather(platform, machine, staging, memory);
  const digests = await sumFiles(platform, machine, staging);
  if (sums !== undefined) {
    digests[snapshotFiles.ram] = await saveSums(platform, ram, sums, changed);
    Object.assign(digests, await digestsOf(platform.integrity, staging, [snapshotFiles.devices]));
  }
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
    digests,
    agentGeneration: machine.channel.agent?.generation ?? 1,
    createdAt: new Date().toISOString(),
  };
  const manifest = await sealSnapshot(staging, description);
  stack.move();
  await rename(staging, store.path(id));
  await store.sync();
  return manifest;
}

/** Collects a snapshot's files. */
async function gather(platform: Platform, machine: Machine, staging: string, memory: boolean): Promise<void> {
  const { layers } = machine.record;
  const names = layersOf(layers.map(({ format }) => format));
  for (const [index, { file }] of layers.entries())
    await linkFile(join(machine.runDirectory, file), join(staging, names[index]?.file ?? file));
  // The newest, and those of checkpoints that did not complete: forks run as other users.
  for (const [index, { file }] of layers.entries())
    if (file.startsWith('disk')) await sealFile(join(staging, names[index]?.file ?? file), 0o444);
  if (!memory) return;
  const ram = join(staging, snapshotFiles.ram);
  const devices = join(staging, snapshotFiles.devices);
  await rename(join(machine.runDirectory, snapshotFiles.devices), devices);
  await sealFile(ram, ramMode(platform.qemu.features));
  await sealFile(devices, 0o400);
}

/**
 * Digests of a snapshot's disk. Those of layers that the machine has had for long are in its record; the others are
 * put there. A layer of an older worker's snapshot has none.
 */
async function sumFiles(
  platform: Platform,
  machine: Machine,
  staging: string,
): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  const layers = [];
  for (const [index, layer] of machine.record.layers.entries()) {
    const name = machineFiles.layer(index);
    const own = layer.digest === undefined && layer.file.startsWith('disk');
    const digest = own ? await platform.integrity.digest(join(staging, name)) : layer.digest;
    if (digest !== undefined) digests[name] = digest;
    layers.push(digest === undefined ? layer : { ...layer, digest });
  }
  await machine.save({ layers });
  return digests;
}
