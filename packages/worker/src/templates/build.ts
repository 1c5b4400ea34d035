import { mkdir, rename } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { linkFile } from '../disk/links.ts';
import { discardDirectory } from '../disk/trash.ts';
import { bringEgress, GuestChannel, quiesceGuest } from '../guest/index.ts';
import type { Jail } from '../host/jail.ts';
import { waitForExit } from '../host/processes.ts';
import { hangUpAndWait } from '../qemu/guest-port.ts';
import { machineArgv, machineFiles } from '../qemu/argv.ts';
import { saveDevices } from '../qemu/devices.ts';
import { kernelArgs } from '../qemu/kernel-args.ts';
import { launch, type Launched } from '../qemu/launch.ts';
import { endProcess } from '../qemu/process.ts';
import { ramMode } from '../qemu/ram.ts';
import { makeOverlay, makeRunDirectory } from '../qemu/run-directory.ts';
import { makeFileFor, takeFile } from '../qemu/run-files.ts';
import {
  jailOf,
  machineSetup,
  machineUid,
  type HostSetup,
  type Shape,
  templateNamePrefix,
} from '../qemu/setup.ts';
import { inheritChecksums, saveChecksums } from '../snapshots/checksums.ts';
import { digestsOf } from '../snapshots/damage.ts';
import { layersOf } from '../snapshots/link.ts';
import { compatibilityKey, type Compatibility, type Manifest, snapshotFiles } from '../snapshots/manifest.ts';
import { sealSnapshot } from '../snapshots/seal.ts';
import { occupiedBytes } from '../snapshots/store.ts';
import { publish } from './publish.ts';
import { settle } from './settle.ts';

const bootMs = 300_000;

/** A cold-booted machine whose memory is a file of its own. */
interface Builder {
  launched: Launched;
  channel: GuestChannel;
}

/**
 * Builds the snapshot from which machines of one template and shape are restored: cold boot on a shared RAM file,
 * settle, save. The finished directory gets its name in one step.
 * @param target directory to make; its parent exists
 * @throws Error when the guest does not start; nothing is left then
 */
export async function buildTemplate(
  host: HostSetup,
  template: { name: string; shape: Shape; compatibility: Compatibility; target: string },
  report: (phase: string) => void,
): Promise<Manifest> {
  const { name, shape, compatibility, target } = template;
  await using stack = new AsyncDisposableStack();
  const directory = join(target, '..', `.build-${process.pid}-${randomUUID().slice(0, 8)}`);
  await mkdir(directory, { mode: 0o700 });
  stack.defer(() => discardDirectory(directory, host.trash));
  const slot = await host.network.claim();
  stack.defer(() => host.network.release(slot));

  const uid = machineUid(slot);
  const run = join(directory, 'run');
  await makeRunDirectory(run, uid);
  await linkFile(host.images.rootfs, join(run, machineFiles.layer(0)));
  await linkFile(host.images.kernel, join(run, machineFiles.kernel));
  await linkFile(host.images.initramfs, join(run, machineFiles.initramfs));
  await makeOverlay(join(run, machineFiles.disk), host.overlays, shape.diskMB, uid);
  await makeFileFor(uid, join(run, machineFiles.ram), shape.memoryMB * 1024 * 1024);

  report('booting');
  const start = { kind: 'boot' as const, kernelArgs: kernelArgs(host.acceleration.accelerator) };
  const setup = machineSetup(
    host,
    { name: templateNamePrefix + name, shape, layers: layersOf(['raw']), slot },
    { ram: 'shared', start },
  );
  const jail = jailOf(host, slot, shape);
  const builder = await boot(host, setup, run, join(directory, 'qemu.log'), jail);
  stack.defer(() => endProcess(builder.launched.process.identity));
  stack.defer(() => builder.channel.close());
  const agent = await settleGuest(builder, report);

  report('saving');
  await freeze(builder, run, uid);
  const description = {
    format: 1 as const,
    key: compatibilityKey(name, compatibility),
    name,
    compatibility,
    layers: ['raw' as const, 'qcow2' as const],
    memory: true,
    sizeBytes: await occupiedBytes(join(run, snapshotFiles.ram)),
    pauseMs: 0,
    agentGeneration: agent.generation,
    createdAt: new Date().toISOString(),
  };
  const finished = join(directory, 'finished');
  await mkdir(finished, { mode: 0o700 });
  await collect(run, finished);
  await takeFile(join(finished, snapshotFiles.ram), ramMode(host.qemu.features), 1);
  await takeFile(join(finished, snapshotFiles.devices), 0o400, 1);
  const digests = await sumTemplate(host, finished);
  const manifest = await sealSnapshot(finished, { ...description, digests });
  return publish(finished, target, manifest);
}

async function boot(
  host: HostSetup,
  setup: ReturnType<typeof machineSetup>,
  run: string,
  logFile: string,
  jail: Jail,
): Promise<Builder> {
  const launched = await launch({
    qemu: host.qemu.path,
    argv: machineArgv(setup),
    directory: run,
    logFile,
    jail,
  });
  return {
    launched,
    channel: new GuestChannel({
      socketPath: join(run, machineFiles.agent),
      identity: () => undefined,
      prepare: (session, agent) => bringEgress(session, agent, host.egress, true),
    }),
  };
}

async function settleGuest({ launched, channel }: Builder, report: (phase: string) => void) {
  await channel.session(bootMs, bootMs);
  const agent = channel.agent;
  if (agent === undefined) throw new Error('the guest did not shake hands');
  await settle(channel, launched.process.identity, agent.init, report);
  return agent;
}

/** Saves device state, memory and disk during one pause. */
async function freeze({ launched, channel }: Builder, run: string, uid: number | undefined): Promise<void> {
  const { qmp, process } = launched;
  await quiesceGuest(channel, { sync: true });
  await hangUpAndWait(qmp, () => channel.hangUp());
  await qmp.run('stop');
  await saveDevices(qmp, run, uid);
  await qmp.run('quit');
  if (!(await waitForExit(process.identity, 30_000))) throw new Error('QEMU did not end after the snapshot');
}

/** The files of a template, without its memory image. */
const templateFiles = [
  snapshotFiles.devices,
  machineFiles.layer(0),
  machineFiles.layer(1),
  machineFiles.kernel,
  machineFiles.initramfs,
];

async function collect(run: string, finished: string): Promise<void> {
  await takeFile(join(run, machineFiles.disk), 0o444, 1);
  await rename(join(run, machineFiles.disk), join(finished, machineFiles.layer(1)));
  for (const file of [snapshotFiles.ram, ...templateFiles])
    if (file !== machineFiles.layer(1)) await rename(join(run, file), join(finished, file));
}

/** Computes the checksums of all files that machines are restored from. @returns the digests, by file */
async function sumTemplate(host: HostSetup, finished: string): Promise<Record<string, string>> {
  const ram = join(finished, snapshotFiles.ram);
  const checksums = await inheritChecksums(host, ram, ram);
  const digests = await digestsOf(host.integrity, finished, templateFiles);
  return { ...digests, [snapshotFiles.ram]: await saveChecksums(host, ram, checksums, []) };
}
