import { execFile } from 'node:child_process';
import { chmod, link, mkdir, open, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from '@opencomputer/testing/eventually';
import { onTestFinished } from 'vitest';
import type { Jail } from '../../host/jail.ts';
import { waitForExit } from '../../host/processes.ts';
import { findQemu } from '../../host/qemu.ts';
import { machineArgv, machineFiles, type MachineSetup, socketsByName } from '../argv.ts';
import { saveDevices } from '../devices.ts';
import { launch, type Launched, runState, waitUntilLoaded } from '../launch.ts';
import { endProcess } from '../process.ts';
import { copyRamImage, saveDirtyPages } from '../ram.ts';
import { makeFileFor } from '../run-files.ts';

const execute = promisify(execFile);

/** Large enough for QEMU to start, small enough to compare byte by byte. */
export const memoryMB = 32;
export const counterAddress = 0x9000;
export const orderAddress = 0x8ff0;
export const trailAddress = 0x20000;
export const trailBytes = 64 * 1024;
const bootDisk = 'boot.img';

/** Assembles the guest. @returns path of a raw disk image that it boots from */
export async function assembleCounter(directory: string): Promise<string> {
  const image = join(directory, bootDisk);
  await assemble(directory, image, []);
  await truncate(image, 1024 * 1024);
  return image;
}

/** Assembles the guest as a kernel, for a machine that boots as any other does. @param image file to make */
export function assembleCounterKernel(directory: string, image: string): Promise<void> {
  return assemble(directory, image, ['--defsym', 'kernel=1']);
}

async function assemble(directory: string, image: string, options: readonly string[]): Promise<void> {
  const object = join(directory, 'counter.o');
  const linked = join(directory, 'counter.elf');
  await execute('as', ['--32', ...options, '-o', object, join(import.meta.dirname, 'counter.s')]);
  await execute('ld', ['-m', 'elf_i386', '-e', '_start', '-Ttext', '0x7c00', '-o', linked, object]);
  await execute('objcopy', ['-O', 'binary', '-j', '.text', linked, image]);
}

/** What a machine is started from: RAM image, and the device state unless it boots. */
export interface CounterSnapshot {
  ram: string;
  devices: string;
}

/** One machine with the counting guest. Ended with the test that started it. */
export class CounterMachine {
  readonly directory: string;
  readonly launched: Launched;
  /** Its user, where it is in a jail. */
  readonly #uid: number | undefined;

  private constructor(directory: string, launched: Launched, uid: number | undefined) {
    this.directory = directory;
    this.launched = launched;
    this.#uid = uid;
  }

  /** Boots with the RAM in a file of its own, or restores with a private view of a snapshot's. */
  static async start(
    directory: string,
    host: { accelerator: 'kvm' | 'tcg'; cpuModel: string; bootImage: string },
    from?: CounterSnapshot,
    options: {
      paused?: boolean;
      jail?: Jail;
      network?: readonly string[];
      /** The command that starts it instead of a jail, and the user that it runs as then. */
      wrapper?: { command: readonly [string, ...string[]]; uid: number };
    } = {},
  ): Promise<CounterMachine> {
    const qemu = await findQemu();
    await mkdir(directory);
    // It makes its sockets itself, in this directory.
    if (options.wrapper !== undefined) await chmod(directory, 0o1777);
    await link(host.bootImage, join(directory, bootDisk));
    const { paused = false, jail, network = [], wrapper } = options;
    const uid = jail?.uid ?? wrapper?.uid;
    const ram = join(directory, machineFiles.ram);
    if (from === undefined) await makeFileFor(uid, ram, memoryMB * 1024 * 1024);
    else await link(from.ram, ram);
    const setup: MachineSetup = {
      name: 'counter',
      features: qemu.features,
      accelerator: host.accelerator,
      cpuModel: host.cpuModel,
      cpuCount: 1,
      memoryMB,
      ram: from === undefined ? 'shared' : 'private',
      layers: [],
      top: machineFiles.disk,
      network,
      guestMac: '52:54:00:00:00:01',
      ...(jail === undefined ? { sockets: socketsByName } : {}),
      start: { kind: 'restore' },
    };
    const argv = machineArgv(setup);
    // It boots from a disk; the rest of the command line is that of any machine.
    const incoming = argv.splice(argv.indexOf('-S'));
    const disk = [
      '-drive',
      `if=none,id=boot,format=raw,readonly=on,file=${bootDisk}`,
      '-device',
      'virtio-blk-pci,drive=boot,addr=0x6,bootindex=0',
    ];
    const [program, ...before] = [...(wrapper?.command ?? []), qemu.path] as [string, ...string[]];
    const launched = await launch({
      qemu: program,
      argv: [...before, ...argv, ...disk, ...(from === undefined ? [] : incoming)],
      directory,
      logFile: join(directory, 'qemu.log'),
      jail,
      ...(from === undefined ? {} : { stateFile: from.devices }),
    });
    const end = async (): Promise<void> => {
      launched.qmp.close();
      await endProcess(launched.process.identity);
    };
    try {
      onTestFinished(end);
    } catch (error) {
      // The test timed out while QEMU started.
      await end();
      throw error;
    }
    const machine = new CounterMachine(directory, launched, uid);
    if (from !== undefined && paused) await machine.#loaded();
    else if (from !== undefined) {
      await waitUntilLoaded(launched.qmp);
      await launched.qmp.run('cont');
    }
    return machine;
  }

  async #loaded(): Promise<void> {
    const loaded = async (): Promise<boolean> => (await runState(this.launched.qmp)) !== 'inmigrate';
    await eventually('the memory is loaded', loaded, { everyMs: 5 });
  }

  get ram(): string {
    return join(this.directory, machineFiles.ram);
  }

  /** Bytes of the guest's memory, as the machine sees them. */
  async memory(address: number, length: number): Promise<Buffer> {
    const name = `memory-${address}-${length}`;
    const file = join(this.directory, name);
    await rm(file, { force: true });
    await makeFileFor(this.#uid, file, 0);
    await this.launched.qmp.run('pmemsave', { val: address, size: length, filename: name });
    const handle = await open(file, 'r');
    try {
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  }

  async count(): Promise<number> {
    return (await this.memory(counterAddress, 4)).readUInt32LE(0);
  }

  /** Waits until it has counted beyond `floor`. @throws Error when it has not in time */
  countsBeyond(floor: number): Promise<number> {
    const count = async (): Promise<number> => {
      const now = await this.count();
      if (now <= floor) throw new Error(`it stands at ${now}`);
      return now;
    };
    return eventually(`the guest counts beyond ${floor}`, count, { everyMs: 5 });
  }

  async printed(): Promise<string> {
    const text = await this.launched.qmp.run('ringbuf-read', { device: 'console', size: 65_536 });
    return String(text);
  }

  async stop(): Promise<void> {
    await this.launched.qmp.run('stop');
  }

  /** Saves a paused machine. @returns the snapshot, and the bytes that it had changed since its start */
  async save(): Promise<CounterSnapshot & { changed: number }> {
    const devices = join(this.directory, 'devices');
    const ram = join(this.directory, 'saved-ram');
    await saveDevices(this.launched.qmp, this.directory, this.#uid);
    await copyRamImage(this.ram, ram);
    const ranges = await saveDirtyPages(this.launched.process.identity.pid, this.ram, ram);
    const changed = ranges.reduce((sum, [start, end]) => sum + end - start, 0);
    return { ram, devices, changed };
  }

  async quit(): Promise<void> {
    await this.launched.qmp.run('quit');
    if (!(await waitForExit(this.launched.process.identity, 10_000))) throw new Error('QEMU did not quit');
  }
}

/** What the tests need and this host lacks; undefined when it lacks nothing. */
export async function missingTools(): Promise<string | undefined> {
  for (const tool of ['as', 'ld', 'objcopy', 'qemu-system-x86_64']) {
    try {
      await execute(tool, ['--version']);
    } catch {
      return `${tool} is not installed`;
    }
  }
  return undefined;
}
