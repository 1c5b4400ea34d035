import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { MachineSpec } from '@opencomputer/protocol';
import { discardDirectory } from '../../disk/trash.ts';
import { syncDirectory, syncFile } from '../../host/atomic-file.ts';
import type { NetworkSlot } from '../../network/types.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { endProcess } from '../../qemu/process.ts';
import { makeOverlay, makeRunDirectory, runDirectory } from '../../qemu/run-directory.ts';
import { machineUid, type HostSetup } from '../../qemu/setup.ts';
import { linkLayers, linkMemory } from '../../snapshots/link.ts';
import { type Layer, snapshotFiles } from '../../snapshots/manifest.ts';
import { Gate } from '../gate.ts';
import type { Machine } from '../machine.ts';
import type { MachineRecord } from '../record.ts';
import { atStep } from '../steps.ts';
import { type Origin, startsFrom } from './origins.ts';
import { begin, type Runner, waitUntilBooted } from './runner.ts';

/** Milliseconds since the stopwatch was made or last read. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const lap = Math.round((now - last) * 10) / 10;
    last = now;
    return lap;
  };
}

function newRecord(
  host: HostSetup,
  id: string,
  spec: MachineSpec,
  origin: Origin,
  slot: NetworkSlot,
): MachineRecord {
  return {
    format: 1,
    id,
    spec,
    origin: origin.manifest.key,
    run: 1,
    layers: [],
    top: machineFiles.disk,
    hibernated: false,
    hibernationBytes: 0,
    startedFrom: startsFrom(origin),
    ...(origin.coldBootReason === undefined ? {} : { coldBootReason: origin.coldBootReason }),
    machineId: randomBytes(16).toString('hex'),
    accelerator: host.acceleration.accelerator,
    slot: slot.index,
    uid: slot.uid,
    ready: false,
    deleting: false,
    startedAt: new Date().toISOString(),
    timings: {},
  };
}

/**
 * Fills the directory of a run with links to the files of its origin, and a writable disk.
 * @returns the disk's layers, and a promise that resolves once all of it is durable
 */
export async function layOutRun(
  host: HostSetup,
  run: string,
  origin: Origin,
  shape: { diskMB: number; slot: NetworkSlot },
): Promise<{ layers: Layer[]; durable: Promise<unknown> }> {
  const uid = machineUid(shape.slot);
  const disk = join(run, machineFiles.disk);
  await makeRunDirectory(run, uid);
  const [layers] = await Promise.all([
    linkLayers(run, origin.directory, origin.manifest),
    makeOverlay(disk, host.overlays, shape.diskMB, uid),
    ...(origin.manifest.memory ? [linkMemory(run, join(origin.directory, snapshotFiles.ram))] : []),
  ]);
  // Runs while QEMU starts, and must end before the machine is reported as created: it survives a power cut from then
  // on.
  const durable = Promise.all([syncFile(disk), syncDirectory(run)]);
  durable.catch(() => undefined);
  return { layers, durable };
}

/**
 * Creates a machine: restores a snapshot under a new identity. It is durable and usable when this returns; when this
 * throws, nothing of it is left.
 */
export async function createMachine(
  runner: Runner,
  machine: { id: string; directory: string; spec: MachineSpec; origin: Origin },
): Promise<Machine> {
  const { host } = runner;
  const { id, directory, spec, origin } = machine;
  const lap = stopwatch();
  await using stack = new AsyncDisposableStack();
  const slot = await host.network.claim();
  stack.defer(() => host.network.release(slot));
  await atStep('create:network', id);
  await mkdir(directory, { mode: 0o700 });
  stack.defer(() => discardDirectory(directory, host.trash));

  const record = newRecord(host, id, spec, origin, slot);
  const { timings } = record;
  const { layers, durable } = await layOutRun(host, runDirectory(directory, 1), origin, {
    ...spec,
    slot,
  });
  record.layers = layers;
  timings['prepare'] = lap();
  await atStep('create:files', id);

  const run = { directory, record, slot, gate: new Gate() };
  const cold = record.startedFrom === 'disk';
  const made = cold
    ? await runner.boot(run)
    : await runner.restore(run, join(origin.directory, snapshotFiles.devices));
  stack.defer(() => endProcess(made.process.identity));
  stack.defer(() => made.expectEnd());
  timings['launch'] = lap();
  await atStep('create:loaded', id);
  await (cold ? waitUntilBooted(made) : begin(made, spec.snapshot === undefined ? 'template' : 'snapshot'));
  timings['handshake'] = lap();
  await atStep('create:answered', id);
  await Promise.all([durable, syncDirectory(dirname(directory))]);
  await made.save({ ready: true });
  timings['record'] = lap();
  await atStep('create:recorded', id);
  stack.move();
  return made;
}
