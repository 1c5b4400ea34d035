import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { limits } from '@opencomputer/protocol';
import {
  endProcess,
  findQemu,
  GuestChannel,
  Integrity,
  launch,
  layersOf,
  linkFile,
  linkLayers,
  machineArgv,
  machineFiles,
  machineSetup,
  makeOverlay,
  makeRunDirectory,
  networkArgs,
  type NetworkSlot,
  openNetwork,
  OverlayStock,
  type HostSetup,
  probeAcceleration,
  readEgress,
  runDirectory,
  snapshotFiles,
  socketsByName,
  type Template,
  TemplateStore,
  waitUntilLoaded,
} from '@opencomputer/worker/bench';
import type { Images } from '@opencomputer/images';
import { type BareMachine, type SavedMachine, savedRam, type Stopwatch, stopwatch } from './bare-machine.ts';
import { instanceTagOf, type Workspace } from './workspace.ts';

const handshakeMs = 120_000;
const probeMs = 10_000;

type Shape = Parameters<TemplateStore['get']>[1];

/** The shape that a sandbox has when none is asked for. */
const defaultShape: Shape = {
  cpuCount: limits.cpuCountDefault,
  memoryMB: limits.memoryMBDefault,
  diskMB: limits.diskMBDefault,
};

/** Drives QEMU directly, with the worker's command lines and the worker's templates, and nothing else of it. */
export class BareHost {
  readonly #host: HostSetup;
  readonly #template: Template;
  readonly #directory: string;
  readonly #shape: Shape;
  /** Networks without a machine; they are made before the clock runs. */
  readonly #slots: NetworkSlot[] = [];
  #count = 0;

  private constructor(host: HostSetup, template: Template, directory: string, shape: Shape) {
    this.#host = host;
    this.#template = template;
    this.#directory = directory;
    this.#shape = shape;
  }

  /** The same host for machines with another memory. Its networks are closed with this one's. */
  async withMemory(memoryMB: number): Promise<BareHost> {
    const templates = dirname(this.#template.directory);
    const shape = { ...this.#shape, memoryMB };
    const template = await new TemplateStore(templates, this.#host).get('base', shape);
    return new BareHost(this.#host, template, this.#directory, shape);
  }

  /** Opens it. The template of the default shape is taken as it is, so it should be there already. */
  static async open(workspace: Workspace, cacheDirectory: string, images: Images): Promise<BareHost> {
    const { bareDirectory: directory, log } = workspace;
    const instanceTag = instanceTagOf(directory);
    const qemu = await findQemu();
    const acceleration = await probeAcceleration({
      setting: 'auto',
      qemu: qemu.path,
      kernel: images.kernel,
      jailer: images.jailer,
      cacheFile: join(cacheDirectory, 'acceleration.json'),
      deadlineMs: probeMs,
      log,
    });
    const stateDir = join(directory, 'network');
    await mkdir(stateDir);
    const host: HostSetup = {
      instanceTag,
      qemu,
      jailer: images.jailer,
      acceleration,
      hostCpu: /^model name\s*:\s*(.+)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown',
      images: {
        kernel: images.kernel,
        initramfs: images.initramfs,
        rootfs: images.rootfs,
        bootKey: basename(images.dir),
        rootfsKey: basename(dirname(images.rootfs)),
      },
      integrity: new Integrity(qemu.imagePath),
      overlays: new OverlayStock(join(cacheDirectory, 'overlays'), qemu.imagePath),
      network: await openNetwork({ instanceTag, stateDir, warm: 0, log }),
      egress: await readEgress(process.env['OPENCOMPUTER_GUEST_CA_CERTIFICATES']),
      trash: join(directory, 'trash'),
      log,
    };
    const template = await new TemplateStore(join(cacheDirectory, 'templates'), host).get(
      'base',
      defaultShape,
    );
    return new BareHost(host, template, directory, defaultShape);
  }

  get qemuVersion(): string {
    return this.#host.qemu.version.text;
  }

  get accelerator(): string {
    const { accelerator, reason } = this.#host.acceleration;
    return `${accelerator} (${reason})`;
  }

  /** Makes networks for this many machines at once. */
  async prepare(machines: number): Promise<void> {
    while (this.#slots.length < machines) this.#slots.push(await this.#host.network.claim());
  }

  /** Starts a machine: from its files to the agent's answer. `prepare` makes its network beforehand. */
  async start(): Promise<BareMachine> {
    await this.prepare(1);
    const slot = this.#slots.pop();
    if (slot === undefined) throw new Error('another start took the network');
    const watch = stopwatch();
    const name = `m${this.#shape.memoryMB}-${this.#count++}`;
    const directory = join(this.#directory, name);
    await this.#layOut(directory);
    watch.lap('prepare');
    const devices = join(this.#template.directory, snapshotFiles.devices);
    return this.#restore({ name, directory, slot }, devices, watch);
  }

  /** Starts a machine again that `save` has saved. */
  async wake(saved: SavedMachine): Promise<BareMachine> {
    const watch = stopwatch();
    const run = runDirectory(saved.directory, 1);
    const { ram, agent, qmp } = machineFiles;
    for (const file of [ram, agent, qmp]) await rm(join(run, file), { force: true });
    await linkFile(savedRam(saved.directory), join(run, ram));
    watch.lap('prepare');
    return this.#restore(saved, join(run, snapshotFiles.devices), watch);
  }

  async #restore(place: SavedMachine, stateFile: string, { phases, lap }: Stopwatch): Promise<BareMachine> {
    const { name, directory, slot } = place;
    const run = runDirectory(directory, 1);
    const launched = await launch({ ...this.#command(name, slot, directory, run), stateFile });
    lap('launch');
    const socketPath = join(run, machineFiles.agent);
    const channel = new GuestChannel({ socketPath, identity: () => identity });
    const identity = newIdentity(name);
    const leave = async (): Promise<SavedMachine> => {
      channel.close();
      launched.qmp.close();
      await endProcess(launched.process.identity);
      return place;
    };
    const end = async (): Promise<void> => {
      await leave();
      await rm(directory, { recursive: true });
      this.#slots.push(slot);
    };
    try {
      const handshake = channel.session(handshakeMs, handshakeMs);
      handshake.catch(() => undefined);
      await waitUntilLoaded(launched.qmp);
      await launched.qmp.run('cont');
      lap('resume');
      await handshake;
      lap('handshake');
    } catch (error) {
      await end();
      throw error;
    }
    const { pid } = launched.process.identity;
    const image = join(run, machineFiles.ram);
    return { channel, pid, socketPath, image, launched, phases, end, leave };
  }

  async #layOut(directory: string): Promise<void> {
    await mkdir(directory, { mode: 0o700 });
    const run = runDirectory(directory, 1);
    await makeRunDirectory(run, undefined);
    await Promise.all([
      linkFile(join(this.#template.directory, snapshotFiles.ram), join(run, machineFiles.ram)),
      linkLayers(run, this.#template.directory, this.#template.manifest),
      makeOverlay(join(run, machineFiles.disk), this.#host.overlays, this.#shape.diskMB, undefined),
    ]);
  }

  #command(name: string, slot: NetworkSlot, directory: string, run: string): Parameters<typeof launch>[0] {
    const { qemu } = this.#host;
    const setup = machineSetup(
      this.#host,
      { name, shape: this.#shape, layers: layersOf(this.#template.manifest.layers), slot },
      { ram: 'private', start: { kind: 'restore' } },
    );
    const argv = machineArgv({ ...setup, network: networkArgs(slot), sockets: socketsByName });
    // No other user, no dropped capabilities: only into the namespace, where the card's other end is.
    const command =
      slot.mode === 'namespace'
        ? { qemu: 'nsenter', argv: [`--net=${slot.namespacePath}`, '--', qemu.path, ...argv] }
        : { qemu: qemu.path, argv };
    return {
      ...command,
      directory: run,
      logFile: join(directory, 'qemu.log'),
    };
  }

  /** Removes the networks. The machines must have ended. */
  async close(): Promise<void> {
    await this.#host.network.close({ keep: false });
  }
}

/** What the agent is told at its first handshake, as it is told by the worker. */
function newIdentity(hostname: string) {
  return {
    clockUnixNs: (BigInt(Date.now()) * 1_000_000n).toString(),
    entropy: randomBytes(64).toString('base64'),
    hostname,
    machineId: randomBytes(16).toString('hex'),
    env: {},
  };
}
