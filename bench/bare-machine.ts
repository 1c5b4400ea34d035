import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type GuestChannel, quiesceGuest } from '../packages/worker/src/guest/index.ts';
import { syncFile } from '../packages/worker/src/host/atomic-file.ts';
import { hangUpAndWait } from '../packages/worker/src/qemu/agent-port.ts';
import type { Launched } from '../packages/worker/src/qemu/launch.ts';
import { snapshotFiles } from '../packages/worker/src/snapshots/manifest.ts';
import { copyRamImage, saveDirtyPages } from '../packages/worker/src/qemu/ram.ts';
import { saveDevices } from '../packages/worker/src/qemu/devices.ts';
import type { NetworkSlot } from '../packages/worker/src/network/types.ts';

/** A machine without a platform around it: QEMU and its agent. */
export interface BareMachine {
  channel: GuestChannel;
  pid: number;
  /** Of the agent port. */
  socketPath: string;
  /** The file that its memory is mapped from. */
  image: string;
  launched: Launched;
  /** Milliseconds of each part of its start. */
  phases: Record<string, number>;
  end(): Promise<void>;
  /** Ends the process and keeps the files: it has been saved. */
  leave(): Promise<SavedMachine>;
}

/** A machine whose process has ended, with its memory and device state on disk. */
export interface SavedMachine {
  name: string;
  directory: string;
  slot: NetworkSlot;
}

export interface Stopwatch {
  phases: Record<string, number>;
  lap: (name: string) => void;
}

/** Takes the time of one part after the other. */
export function stopwatch(): Stopwatch {
  const phases: Record<string, number> = {};
  let last = performance.now();
  const lap = (name: string): void => {
    const now = performance.now();
    phases[name] = now - last;
    last = now;
  };
  return { phases, lap };
}

/** Brings the agent to rest and hangs up, so that the machine may be saved. */
export async function quiet({ channel, launched }: BareMachine): Promise<void> {
  await quiesceGuest(channel, { sync: true });
  await hangUpAndWait(launched.qmp, () => channel.hangUp());
}

/**
 * Saves a machine that is quiet, and ends it: a copy of its image, device state, the pages that it changed, all of
 * it on disk.
 * @returns the saved machine, and the milliseconds that it took
 */
export async function save(machine: BareMachine): Promise<{ saved: SavedMachine; ms: number }> {
  const { launched, pid, image } = machine;
  const copy = savedRam(dirname(dirname(image)));
  const started = performance.now();
  await rm(copy, { force: true });
  await copyRamImage(image, copy);
  await launched.qmp.run('stop', {}, 60_000);
  await saveDevices(launched.qmp, dirname(image), undefined);
  await saveDirtyPages(pid, image, copy);
  await syncFile(copy);
  await syncFile(join(dirname(image), snapshotFiles.devices));
  const saved = await machine.leave();
  return { saved, ms: performance.now() - started };
}

/** Where `save` puts the memory of a machine. */
export function savedRam(directory: string): string {
  return join(directory, 'ram.saved');
}
