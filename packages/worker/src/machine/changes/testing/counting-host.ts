import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MachineSpec } from '@opencomputer/protocol';
import { beforeAll, onTestFinished } from 'vitest';
import { OverlayStock } from '../../../disk/overlay.ts';
import { Capacity, defaultCapacity } from '../../../host/capacity.ts';
import { noEgress } from '../../../host/egress.ts';
import { Integrity } from '../../../host/integrity.ts';
import { findQemu } from '../../../host/qemu.ts';
import { firstMachineUid } from '../../../host/uids.ts';
import type { NetworkSlot } from '../../../network/types.ts';
import { UserNetwork } from '../../../network/user.ts';
import { machineFiles } from '../../../qemu/argv.ts';
import { endProcessesOf, findProcesses } from '../../../qemu/process.ts';
import { runDirectory } from '../../../qemu/run-directory.ts';
import { type HostSetup, machinePrefix, processPrefix } from '../../../qemu/setup.ts';
import { assembleCounterKernel } from '../../../qemu/testing/counter.ts';
import { SnapshotStore } from '../../../snapshots/store.ts';
import { TemplateStore } from '../../../templates/store.ts';
import { testJailer } from '../../../testing/jailer.ts';
import { quiet } from '../../../testing/log.ts';
import type { Machine } from '../../machine.ts';
import { type MachineRecord, readRecord } from '../../record.ts';
import { MachineRegistry } from '../../registry.ts';
import { type Step, watchSteps } from '../../steps.ts';
import { Changes } from '../changes.ts';
import { type Recovery, recoverMachines } from '../recover.ts';
import { makeCounterTemplate } from './counter-template.ts';
import { GuestMemory } from './guest-memory.ts';
import { GuestPort } from './guest-port.ts';
import { flushDisk, readDisk, writeDisk } from './guest-disk.ts';

/** What has nothing of a host. */
export const nothing = { slots: 0, machines: 0, processes: [], files: [] };

export const shape = { cpuCount: 1, memoryMB: 128, diskMB: 64 };
export const id = 'sb-01234567';
export const spec: MachineSpec = { template: 'base', ...shape, hostname: 'counter', env: { WHO: 'counter' } };

/** A network that knows which of its slots are in use. */
class CountedNetwork extends UserNetwork {
  readonly held = new Set<number>();

  override async claim(): Promise<NetworkSlot> {
    const slot = await super.claim();
    this.held.add(slot.index);
    return slot;
  }

  override async adopt(index: number): Promise<NetworkSlot> {
    const slot = await super.adopt(index);
    this.held.add(index);
    return slot;
  }

  override async release(slot: NetworkSlot): Promise<void> {
    await super.release(slot);
    this.held.delete(slot.index);
  }
}

/** What the tests of a file share, since nobody writes it: programs, images, and a template. */
interface Shared {
  directory: string;
  jailer: string;
  setup: Pick<HostSetup, 'qemu' | 'acceleration' | 'hostCpu' | 'images' | 'overlays' | 'egress' | 'log'>;
}

let shared: Shared | undefined;

/** Prepares the tests of a file for `CountingHost.open`. Called outside of them. */
export function prepareCountingHosts(): void {
  beforeAll(async () => {
    // A jail shows nothing of /tmp. Without root there is no file system of its own.
    const parent = process.getuid?.() === 0 ? '/var/lib' : tmpdir();
    const directory = await mkdtemp(join(parent, 'opencomputer-test-'));
    shared = await prepare(directory);
    return async () => {
      shared = undefined;
      await rm(directory, { recursive: true, force: true });
    };
  });
}

async function prepare(directory: string): Promise<Shared> {
  const qemu = await findQemu();
  const images = {
    kernel: join(directory, 'kernel'),
    initramfs: join(directory, 'initramfs'),
    rootfs: join(directory, 'rootfs'),
    bootKey: 'counter',
    rootfsKey: 'empty',
  };
  await assembleCounterKernel(directory, images.kernel);
  await writeFile(images.initramfs, 'nothing', { mode: 0o444 });
  await writeFile(images.rootfs, Buffer.alloc(shape.diskMB * 1024 * 1024), { mode: 0o444 });
  const setup: Shared['setup'] = {
    qemu,
    acceleration: { accelerator: 'tcg', reason: '', cached: false, cpuModel: 'max,-erms,-fsrm' },
    hostCpu: '',
    images,
    overlays: new OverlayStock(join(directory, 'overlays'), qemu.imagePath),
    egress: noEgress,
    log: quiet,
  };
  const jailer = await testJailer();
  const host = {
    ...setup,
    jailer,
    instanceTag: randomBytes(4).toString('hex'),
    integrity: new Integrity(qemu.imagePath),
    network: new CountedNetwork(firstMachineUid),
    trash: join(directory, 'trash'),
  };
  await makeCounterTemplate(host, join(directory, 'templates'), shape);
  return { directory, jailer, setup };
}

/**
 * All of a worker but its API, on a host where guests only count: real QEMU, in a real jail under emulation, real disks
 * and files. The guest agent is a double at the machine's port. It ends with the test, with all its machines.
 */
export class CountingHost {
  setup: HostSetup;
  network: CountedNetwork;
  readonly port: GuestPort;
  readonly snapshots: SnapshotStore;
  readonly templates: TemplateStore;
  /** The directory of all machines, and that of the templates, which the tests of a file share. */
  readonly machines: string;
  readonly templatesDirectory: string;
  /** What has happened, in order: steps of changes, commands to QEMU, calls to guests, reports to the server. */
  readonly trace: string[] = [];
  readonly #directory: string;
  #parts: { registry: MachineRegistry; capacity: Capacity; changes: Changes };
  /** Every machine that was started or taken over by the worker of the moment. */
  readonly #watched: Machine[] = [];
  #atSteps: Partial<Record<Step, () => Promise<void> | void>> = {};

  private constructor(directory: string, setup: HostSetup, network: CountedNetwork, port: GuestPort) {
    this.#directory = directory;
    this.setup = setup;
    this.network = network;
    this.port = port;
    this.machines = join(directory, 'machines');
    this.snapshots = new SnapshotStore(join(directory, 'snapshots'), setup.trash);
    this.templatesDirectory = join(directory, '..', 'templates');
    this.templates = new TemplateStore(this.templatesDirectory, setup);
    this.#parts = this.#assemble();
  }

  static async open(): Promise<CountingHost> {
    if (shared === undefined) throw new Error('prepareCountingHosts was not called');
    const directory = await mkdtemp(join(shared.directory, 'host-'));
    const port = await GuestPort.open(directory, shared.jailer);
    const network = new CountedNetwork(firstMachineUid);
    const setup: HostSetup = {
      ...shared.setup,
      instanceTag: randomBytes(4).toString('hex'),
      jailer: port.jailer,
      integrity: new Integrity(shared.setup.qemu.imagePath),
      network,
      trash: join(directory, 'trash'),
    };
    const host = new CountingHost(directory, setup, network, port);
    await mkdir(host.machines, { mode: 0o700 });
    await host.snapshots.open();
    port.onCall = (call) => host.trace.push(`guest: ${call}`);
    watchSteps(async (step) => {
      host.trace.push(step);
      await host.#atSteps[step]?.();
    });
    onTestFinished(async () => {
      watchSteps(undefined);
      host.#letGo();
      await endProcessesOf(processPrefix(setup.instanceTag), host.machines);
    });
    return host;
  }

  get registry(): MachineRegistry {
    return this.#parts.registry;
  }

  get capacity(): Capacity {
    return this.#parts.capacity;
  }

  get changes(): Changes {
    return this.#parts.changes;
  }

  #assemble() {
    const registry = new MachineRegistry();
    const readings = { memoryTotalMB: 65_536, memoryAvailableMB: 65_536, diskFreeMB: 65_536 };
    const capacity = new Capacity({ config: defaultCapacity, readings: () => Promise.resolve(readings) });
    const changes = new Changes({
      host: this.setup,
      registry,
      templates: this.templates,
      snapshots: this.snapshots,
      capacity,
      directory: this.machines,
      onFailed: (_id, reason) => this.trace.push(`failed: ${reason}`),
      onRestarted: () => this.trace.push('restarted'),
    });
    const watch = changes.runner.watch.bind(changes.runner);
    changes.runner.watch = (running) => {
      const machine = watch(running);
      this.#watched.push(machine);
      this.port.attach(machine, this.trace);
      return machine;
    };
    return { registry, capacity, changes };
  }

  #letGo(): void {
    for (const machine of this.#watched.splice(0)) machine.expectEnd();
  }

  /** Another worker takes the place of this one, which ends without a word. Machines run on. */
  async nextWorker(): Promise<Recovery> {
    this.#letGo();
    this.network = new CountedNetwork(firstMachineUid);
    this.setup = { ...this.setup, network: this.network };
    this.#parts = this.#assemble();
    const { registry, capacity, changes } = this.#parts;
    await this.snapshots.open();
    return recoverMachines({ runner: changes.runner, registry, capacity, directory: this.machines });
  }

  /** Does something at a step from now on, in place of what was done there before. What it throws fails the step. */
  at(step: Step, act: () => Promise<void> | void): void {
    this.#atSteps[step] = act;
  }

  /** Makes a step fail, as long as the function that it returns is not called. */
  failAt(step: Step): () => void {
    this.at(step, () => {
      throw new Error(`no further than ${step}`);
    });
    return () => delete this.#atSteps[step];
  }

  /** Makes QEMU late with a command, as long as the function that it returns is not called. */
  answerLate(command: string): () => void {
    this.port.late = command;
    return () => {
      this.port.late = undefined;
    };
  }

  /** Makes a change that comes to a step and no further, as if the worker was killed there. */
  async stopAt(step: Step, change: () => Promise<unknown>): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.at(step, () => {
        resolve();
        return new Promise(() => undefined);
      });
    });
    const ended = change().then(() => {
      throw new Error(`the change does not come to ${step}`);
    });
    await Promise.race([reached, ended]);
    delete this.#atSteps[step];
  }

  /** Creates a machine from the template. Its memory and its disk say `one`. */
  async create(): Promise<Machine> {
    await this.changes.create(id, spec);
    const machine = this.machine();
    await this.change(machine, 'one');
    this.trace.length = 0;
    return machine;
  }

  /** What a guest would do: its memory and its disk say something else from now on. */
  async change(machine: Machine, text: string): Promise<void> {
    await this.memory(machine).mark(text);
    await writeDisk(machine, text);
  }

  /** What memory and disk of a machine say that runs. */
  async says(machine = this.machine()): Promise<{ memory: string; disk: string }> {
    await flushDisk(machine);
    return { memory: await this.memory(machine).readMark(), disk: await this.diskSays(machine.id) };
  }

  /** What the disk says that the record of a machine names, without its writable overlay if that is asked for. */
  async diskSays(of = id, { below = false } = {}): Promise<string> {
    const record = await this.record(of);
    if (record === undefined) throw new Error(`there is no machine ${of}`);
    const { run, layers, top } = record;
    const chain = below ? { layers } : { layers, top };
    return readDisk(this.setup.qemu.imagePath, runDirectory(join(this.machines, of), run), chain);
  }

  /** What a machine has of the host: all of it is given back in the end. */
  async inUse(): Promise<{ slots: number; machines: number; processes: string[]; files: string[] }> {
    return {
      slots: this.network.held.size,
      machines: this.capacity.commitments().machines,
      processes: [...findProcesses(processPrefix(this.setup.instanceTag)).keys()].toSorted(),
      files: [...(await this.files('machines')), ...(await this.files('trash'))],
    };
  }

  /** The machine, which runs. */
  machine(of = id): Machine {
    return this.registry.running(of);
  }

  path(...names: string[]): string {
    return join(this.machines, id, ...names);
  }

  /** What a next worker would read. */
  record(of = id): Promise<MachineRecord | undefined> {
    return readRecord(join(this.machines, of));
  }

  memory(machine: Machine): GuestMemory {
    return new GuestMemory(machine.process.identity.pid, join(machine.runDirectory, machineFiles.ram));
  }

  /** The runs of the machine that have a process, known to the worker or not. */
  processes(of = id): string[] {
    return [...findProcesses(machinePrefix(this.setup.instanceTag, of)).keys()].toSorted();
  }

  /** Names in a directory of the host, of which there may be none. */
  async files(...names: string[]): Promise<string[]> {
    const directory = join(this.#directory, ...names);
    return existsSync(directory) ? (await readdir(directory)).toSorted() : [];
  }
}
