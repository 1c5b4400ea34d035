import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { quiesceGuest } from '../../guest/index.ts';
import type { ByteRange } from '../../host/checksums.ts';
import { hangUpAndWait } from '../../qemu/guest-port.ts';
import { machineFiles } from '../../qemu/argv.ts';
import { saveDevices } from '../../qemu/devices.ts';
import { runState } from '../../qemu/launch.ts';
import { saveDirtyPages } from '../../qemu/ram.ts';
import { machineUid } from '../../qemu/setup.ts';
import type { Machine } from '../machine.ts';

/**
 * More than the state of a machine's devices takes: if less is free, the full disk is the reason why it could not be
 * written.
 */
const devicesBytes = 8 * 1024 * 1024;

/**
 * Quiesces the guest, which writes its data to its disk, and ends the channel. A guest that does not react is saved as
 * it is, and the handshake after the restore is tried until it answers.
 * @returns whether the guest was quiesced
 * @throws ApiError `no_space` when it cannot react because it is paused: the host's disk is full
 */
export async function quiet(machine: Machine, log: Logger): Promise<boolean> {
  try {
    await machine.unlessFull(quiesceGuest(machine.channel, { sync: true }));
  } catch (error) {
    machine.channel.hangUp();
    machine.assertRuns();
    log.warn({ machine: machine.id, err: error }, 'the guest does not come to rest; it is frozen as it is');
    return false;
  }
  try {
    await hangUpAndWait(machine.qmp, () => machine.channel.hangUp());
  } catch (error) {
    log.warn({ machine: machine.id, err: error }, 'the guest did not see the channel end');
  }
  return true;
}

/**
 * Pauses a machine, so that only the caller resumes it.
 * @throws ApiError `no_space` when it is paused because the host's disk is full: it may go on at any moment
 */
export async function stopMachine(machine: Machine): Promise<void> {
  await machine.qmp.run('stop', {}, 60_000);
  const state = await runState(machine.qmp);
  if (state === 'paused') return;
  machine.assertRuns();
  throw new Error(`the machine could not be stopped: it is in the state ${state}`);
}

/**
 * Saves device state and memory of a paused machine.
 * @param ram a copy of the image that the machine maps, made beforehand to keep the pause short
 * @returns what was written over the copy
 */
export async function takeMemory(machine: Machine, ram: string): Promise<ByteRange[]> {
  try {
    await saveDevices(machine.qmp, machine.runDirectory, machineUid(machine.slot));
  } catch (error) {
    // QEMU reports every failed write in the same words.
    const { bavail, bsize } = await statfs(machine.runDirectory);
    if (bavail * bsize >= devicesBytes) throw error;
    const full = new Error('no space is left for the state of its devices', { cause: error });
    throw Object.assign(full, { code: 'ENOSPC' });
  }
  return saveDirtyPages(machine.process.identity.pid, join(machine.runDirectory, machineFiles.ram), ram);
}
