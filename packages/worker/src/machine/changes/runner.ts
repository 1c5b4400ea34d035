import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { linkFile } from '../../disk/links.ts';
import type { NetworkSlot } from '../../network/types.ts';
import { machineArgv, machineFiles } from '../../qemu/argv.ts';
import { kernelArgs } from '../../qemu/kernel-args.ts';
import { launch, waitUntilLoaded } from '../../qemu/launch.ts';
import { machineLogFile } from '../../qemu/log-file.ts';
import { endProcess } from '../../qemu/process.ts';
import { makeEmptyRam } from '../../qemu/ram.ts';
import { runDirectory } from '../../qemu/run-directory.ts';
import { jailOf, machineSetup, type HostSetup } from '../../qemu/setup.ts';
import { checksumsPath } from '../../snapshots/checksums.ts';
import type { Gate } from '../gate.ts';
import { Machine, type MachineParts } from '../machine.ts';
import type { MachineRecord } from '../record.ts';
import { atStep, type Step } from '../steps.ts';

/**
 * One guest answers its first handshake in a fraction of a second; fifty that start at once on two cores need longer.
 */
const restoredHandshakeMs = 120_000;
/**
 * A guest from a template was saved while nobody used its port; another may take the first call for a part of an old
 * conversation.
 */
const firstHandshakeMs = { template: 60_000, snapshot: 5_000 };
/** A cold boot under emulation takes ten seconds on an idle host. */
const bootHandshakeMs = 300_000;

export type OnEnd = (machine: Machine, reason: string) => void;

export interface Run {
  directory: string;
  record: MachineRecord;
  slot: NetworkSlot;
  gate: Gate;
}

/** A machine that runs. */
export interface Started {
  machine: Machine;
  /** Resolves once its guest agent answers and the files of the start are cleaned up. */
  answered: Promise<void>;
}

/** Starts machines on this host. */
export class Runner {
  readonly host: HostSetup;
  readonly onEnd: OnEnd;

  /** @param onEnd called for each machine whose process ends by itself */
  constructor(host: HostSetup, onEnd: OnEnd) {
    this.host = host;
    this.onEnd = onEnd;
  }

  /**
   * Starts QEMU for a run whose files are in place and loads the device state. The machine is paused then; `begin` lets
   * it run. When this throws, no process is left.
   * @param devices file with the device state that belongs to the RAM image of the run
   */
  async restore(run: Run, devices: string): Promise<Machine> {
    const machine = await this.#start(run, { devices });
    try {
      await waitUntilLoaded(machine.qmp);
      return machine;
    } catch (error) {
      machine.expectEnd();
      await endProcess(machine.process.identity);
      throw error;
    }
  }

  /** Starts QEMU for a run so that it boots from its disk with empty memory. When this throws, no process is left. */
  async boot(run: Run): Promise<Machine> {
    const { images, qemu } = this.host;
    const directory = runDirectory(run.directory, run.record.run);
    const { ram, kernel, initramfs } = machineFiles;
    for (const file of [ram, checksumsPath(ram), kernel, initramfs])
      await rm(join(directory, file), { force: true });
    await linkFile(images.kernel, join(directory, kernel));
    await linkFile(images.initramfs, join(directory, initramfs));
    await makeEmptyRam(join(directory, ram), run.record.spec.memoryMB, qemu.features);
    return this.#start(run, {});
  }

  async #start({ directory, record, slot, gate }: Run, { devices }: { devices?: string }): Promise<Machine> {
    const { host } = this;
    const start =
      devices === undefined
        ? { kind: 'boot' as const, kernelArgs: kernelArgs(host.acceleration.accelerator) }
        : { kind: 'restore' as const };
    const { layers, top, spec } = record;
    const name = `${record.id}.${record.run}`;
    const setup = machineSetup(host, { name, shape: spec, layers, top, slot }, { ram: 'private', start });
    const launched = await launch({
      qemu: host.qemu.path,
      argv: machineArgv(setup),
      directory: runDirectory(directory, record.run),
      logFile: join(directory, machineLogFile),
      jail: jailOf(host, slot, spec),
      ...(devices === undefined ? {} : { stateFile: devices }),
    });
    // The process is on disk with the next write of the record.
    const started = { ...record, process: { ...launched.process.identity } };
    return this.watch({ directory, record: started, slot, gate, launched });
  }

  /** A machine whose QEMU runs already. */
  watch(running: Omit<MachineParts, 'egress' | 'log'>): Machine {
    const { egress, log } = this.host;
    return new Machine({ ...running, egress, log }, this.onEnd);
  }
}

/**
 * Resumes a restored machine and waits for its guest agent, which applies the identity.
 * @throws ApiError `no_space` when it is paused before that because the host's disk is full
 */
export async function begin(machine: Machine, origin: 'template' | 'snapshot'): Promise<void> {
  // The handshake waits in the port until the machine runs.
  const handshake = machine.channel.session(restoredHandshakeMs, firstHandshakeMs[origin]);
  handshake.catch(() => undefined);
  await machine.qmp.run('cont');
  await machine.unlessFull(handshake);
}

/** Waits until the guest agent of a booting machine has applied the identity. */
export async function waitUntilBooted(machine: Machine): Promise<void> {
  await machine.unlessFull(machine.channel.session(bootHandshakeMs, bootHandshakeMs));
}

/** Waits until a started machine answers; then, or when it fails to, cleans up the files of the start. */
export async function untilAnswered(
  answer: Promise<void>,
  { step, id }: { step: Step; id: string },
  cleanUp: () => Promise<void>,
): Promise<void> {
  try {
    await answer;
    await atStep(step, id);
  } finally {
    await cleanUp();
  }
}
