import { chown, mkdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Integrity } from '../../host/integrity.ts';
import { locateQemuImage } from '../../host/qemu.ts';
import { firstMachineUid } from '../../host/uids.ts';
import { NotOurFile } from '../../host/untrusted-file.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import { flipBit } from '../../testing/damage.ts';
import { quiet } from '../../testing/log.ts';
import { failureOf, scratchDirectory } from '../../testing/scratch.ts';
import type { MachineRecord } from '../record.ts';
import { record as sample } from '../testing/started-machine.ts';
import { checkDisk, prepareRun, type Sleeper } from './prepare.ts';

const root = process.getuid?.() === 0;
const own = process.getuid?.() ?? 0;
/** The user of the last process, and that of the next. */
const [last, next] = root ? [firstMachineUid + 1, firstMachineUid + 2] : [own, own];
const slot = { mode: 'user', index: 2, uid: next } as const;
const files = ['layer-0', 'layer-1', 'disk.qcow2', 'disk-1.qcow2'];

/** A machine that hibernates on three layers; the newest is of a snapshot that did not complete. */
async function sleeper(): Promise<{ host: HostSetup; machine: Sleeper; path: (file: string) => string }> {
  const directory = await scratchDirectory();
  const integrity = new Integrity(await locateQemuImage());
  const run = runDirectory(directory, 1);
  await mkdir(run);
  const path = (file: string): string => join(run, file);
  for (const file of files) {
    await writeFile(path(file), `content of ${file}`, { mode: file.startsWith('layer') ? 0o444 : 0o600 });
    if (file.startsWith('disk')) await chown(path(file), last, last);
  }
  const [base, template, newest, top = ''] = await Promise.all(
    files.map((file) => integrity.digest(path(file))),
  );
  const { saved: _saved, ...record } = sample;
  const machine: MachineRecord = {
    ...record,
    layers: [
      { file: 'layer-0', format: 'qcow2', digest: base },
      { file: 'layer-1', format: 'qcow2', digest: template },
      { file: 'disk.qcow2', format: 'qcow2', digest: newest },
    ],
    top: 'disk-1.qcow2',
    hibernated: true,
    saved: {
      compatibility: {
        qemu: '',
        accelerator: 'tcg',
        cpuModel: '',
        hostCpu: '',
        cpuCount: 1,
        memoryMB: 256,
        diskMB: 64,
        boot: '',
        rootfs: '',
        argv: '',
      },
      digests: { ram: top, devices: top, top },
    },
  };
  return { host: { integrity, log: quiet } as HostSetup, machine: { directory, record: machine }, path };
}

describe('the disk of a machine that is to be started', () => {
  it('is accepted as it was left', async () => {
    const { host, machine } = await sleeper();
    await checkDisk(host, machine);
  });

  it.each(files)('is refused where %s has changed', async (file) => {
    const { host, machine, path } = await sleeper();
    await flipBit(path(file), -1);
    expect(await failureOf(checkDisk(host, machine))).toMatchObject({
      code: 'snapshot_damaged',
      message: expect.stringContaining(file) as string,
    });
    await flipBit(path(file), -1);
    await checkDisk(host, machine);
  });

  it('may have changed on top since an earlier hibernation', async () => {
    const { host, machine, path } = await sleeper();
    await flipBit(path('disk-1.qcow2'), -1);
    await checkDisk(host, { ...machine, record: { ...machine.record, hibernated: false } });
  });

  it('belongs to the next user on top, and below to nobody who could write it', async () => {
    const { machine, path } = await sleeper();
    await prepareRun(machine.directory, machine.record, slot);
    const top = await stat(path('disk-1.qcow2'));
    expect([top.uid, top.mode & 0o777]).toEqual([next, 0o600]);
    const newest = await stat(path('disk.qcow2'));
    expect([newest.uid, newest.mode & 0o777]).toEqual([own, 0o444]);
    expect((await stat(runDirectory(machine.directory, 1))).mode & 0o777).toBe(root ? 0o711 : 0o700);
    // Again, after a start that failed.
    await prepareRun(machine.directory, machine.record, slot);
  });

  it.runIf(root)('is not handed over where something else is in its place', async () => {
    const { machine, path } = await sleeper();
    await rm(path('disk-1.qcow2'));
    await symlink(path('layer-0'), path('disk-1.qcow2'));
    expect(await failureOf(prepareRun(machine.directory, machine.record, slot))).toBeInstanceOf(NotOurFile);
    expect((await stat(path('layer-0'))).uid).toBe(own);
  });
});
