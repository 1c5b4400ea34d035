import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { waitForExit } from '../../../host/processes.ts';
import { linkFile } from '../../../disk/links.ts';
import { machineArgv, machineFiles } from '../../../qemu/argv.ts';
import { saveDevices } from '../../../qemu/devices.ts';
import { kernelArgs } from '../../../qemu/kernel-args.ts';
import { launch } from '../../../qemu/launch.ts';
import { endProcess } from '../../../qemu/process.ts';
import { ramMode } from '../../../qemu/ram.ts';
import { makeOverlay, makeRunDirectory } from '../../../qemu/run-directory.ts';
import { makeFileFor, takeFile } from '../../../qemu/run-files.ts';
import { type HostSetup, jailOf, machineSetup, machineUid, type Shape } from '../../../qemu/setup.ts';
import { inheritChecksums, saveChecksums } from '../../../snapshots/checksums.ts';
import { digestsOf } from '../../../snapshots/damage.ts';
import { layersOf } from '../../../snapshots/link.ts';
import { compatibilityKey, snapshotFiles } from '../../../snapshots/manifest.ts';
import { publishSnapshot, sealSnapshot } from '../../../snapshots/seal.ts';
import { TemplateStore } from '../../../templates/store.ts';
import { GuestMemory, markAddress } from './guest-memory.ts';

/** What the memory of the template says, and so that of every machine that was not booted. */
export const templateMark = 'template';

/**
 * Makes the template of a shape, as `templates/build.ts` does, from the guest that only counts: without a guest agent
 * there is nothing to settle.
 * @param templates directory of the templates
 */
export async function makeCounterTemplate(host: HostSetup, templates: string, shape: Shape): Promise<void> {
  const compatibility = new TemplateStore(templates, host).compatibility('base', shape);
  const key = compatibilityKey('base', compatibility);
  const run = join(templates, '.build');
  await using stack = new AsyncDisposableStack();
  const slot = await host.network.claim();
  stack.defer(() => host.network.release(slot));
  const uid = machineUid(slot);
  await mkdir(templates, { recursive: true });
  await makeRunDirectory(run, uid);
  const { kernel, initramfs, disk, ram, layer } = machineFiles;
  await linkFile(host.images.rootfs, join(run, layer(0)));
  await linkFile(host.images.kernel, join(run, kernel));
  await linkFile(host.images.initramfs, join(run, initramfs));
  await makeOverlay(join(run, disk), host.overlays, shape.diskMB, uid);
  await makeFileFor(uid, join(run, ram), shape.memoryMB * 1024 * 1024);

  const start = { kind: 'boot' as const, kernelArgs: kernelArgs(host.acceleration.accelerator) };
  const machine = { name: 'template-base', shape, layers: layersOf(['raw']), slot };
  const { process, qmp } = await launch({
    qemu: host.qemu.path,
    argv: machineArgv(machineSetup(host, machine, { ram: 'shared', start })),
    directory: run,
    logFile: join(templates, 'template.log'),
    jail: jailOf(host, slot, shape),
  });
  stack.defer(() => endProcess(process.identity));
  const memory = new GuestMemory(process.identity.pid, join(run, ram));
  await memory.countsOn();
  await qmp.run('stop');
  await saveDevices(qmp, run, uid);
  await qmp.run('quit');
  if (!(await waitForExit(process.identity, 60_000))) throw new Error('QEMU did not quit');

  const image = join(run, ram);
  await using file = await open(image, 'r+');
  await file.write(templateMark, markAddress);
  const files = [snapshotFiles.devices, layer(0), layer(1), kernel, initramfs];
  await rename(join(run, disk), join(run, layer(1)));
  await takeFile(join(run, layer(1)), 0o444, 1);
  await takeFile(image, ramMode(host.qemu.features), 1);
  await takeFile(join(run, snapshotFiles.devices), 0o400, 1);
  const digests = await digestsOf(host.integrity, run, files);
  digests[ram] = await saveChecksums(host, image, await inheritChecksums(host, image, image), []);
  await sealSnapshot(run, {
    format: 1,
    key,
    name: 'base',
    compatibility,
    layers: ['raw', 'qcow2'],
    memory: true,
    sizeBytes: 0,
    pauseMs: 0,
    digests,
    agentGeneration: 2,
    createdAt: new Date().toISOString(),
  });
  await publishSnapshot(run, join(templates, key));
}
