import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MachineSpec } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/overlay.ts';
import { syncDirectory, syncFile } from '../host/atomic-file.ts';
import type { Template } from '../templates/store.ts';
import { machineArgv, machineFiles } from './argv.ts';
import { layersOf, linkSnapshot, makeDisk, makeRunDirectory } from './directory.ts';
import { launch, resume } from './launch.ts';
import { Machine, machineLogFile } from './machine.ts';
import { snapshotFiles } from './manifest.ts';
import { confinementOf, machineSetup, machineUid, type Platform } from './platform.ts';
import { endProcess } from './process.ts';
import { type MachineRecord, writeRecord } from './record.ts';

/** A guest answers its first handshake in a fraction of a second; fifty that start at once on two cores need longer. */
const handshakeMs = 120_000;
const firstHandshakeMs = 60_000;

/** Milliseconds since the stopwatch was made or last asked. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const lap = Math.round((now - last) * 10) / 10;
    last = now;
    return lap;
  };
}

/**
 * Makes a machine: restores the template's snapshot under a new identity. It is durable and usable when this
 * returns; when it throws, nothing is left of it.
 */
export async function createMachine(
  platform: Platform,
  machine: { id: string; directory: string; spec: MachineSpec; template: Template },
  onEnd: (machine: Machine, reason: string) => void,
): Promise<Machine> {
  const { id, directory, spec, template } = machine;
  const lap = stopwatch();
  await using stack = new AsyncDisposableStack();
  const slot = await platform.network.claim();
  stack.defer(() => platform.network.release(slot));
  await mkdir(directory, { mode: 0o700 });
  stack.defer(() => discardDirectory(directory, platform.trash));

  const record: MachineRecord = {
    format: 1,
    id,
    spec,
    template: template.manifest.key,
    machineId: randomBytes(16).toString('hex'),
    accelerator: platform.acceleration.accelerator,
    slot: slot.index,
    uid: slot.uid,
    ready: false,
    deleting: false,
    startedAt: new Date().toISOString(),
    timings: {},
  };
  const uid = machineUid(slot);
  const run = await makeRunDirectory(directory, uid);
  await Promise.all([
    linkSnapshot(run, template.directory, template.manifest),
    makeDisk(run, platform.overlays, spec.diskMB, uid),
  ]);
  // Goes on while QEMU starts: what is acknowledged must survive a power cut.
  const durable = Promise.all([
    syncFile(join(run, machineFiles.disk)),
    syncDirectory(run),
    syncDirectory(dirname(directory)),
  ]);
  durable.catch(() => undefined);
  record.timings['prepare'] = lap();

  const layers = layersOf(template.manifest.layers);
  const setup = machineSetup(
    platform,
    { name: id, shape: spec, layers, slot },
    { ram: 'private', start: { kind: 'restore' } },
  );
  const launched = await launch({
    qemu: platform.qemu.path,
    argv: machineArgv(setup),
    directory: run,
    logFile: join(directory, machineLogFile),
    stateFile: join(template.directory, snapshotFiles.devices),
    confinement: confinementOf(slot),
  });
  stack.defer(() => endProcess(launched.process.identity));
  record.timings['launch'] = lap();

  const made = new Machine({ directory, record, slot, launched, log: platform.log }, onEnd);
  stack.defer(() => made.expectEnd());
  // The handshake waits in the port until the machine runs.
  const handshake = made.channel.session(handshakeMs, firstHandshakeMs);
  handshake.catch(() => undefined);
  await resume(launched.qmp);
  record.timings['resume'] = lap();
  await handshake;
  record.timings['handshake'] = lap();
  record.ready = true;
  await durable;
  await writeRecord(directory, record);
  record.timings['record'] = lap();
  stack.move();
  return made;
}
