import { createHash } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError } from '@opencomputer/protocol';
import { discardDirectory } from '../disk/trash.ts';
import { systemErrorCode } from '../host/errors.ts';
import { machineFiles } from '../qemu/argv.ts';
import { kernelArgs } from '../qemu/kernel-args.ts';
import { machineSetup, type HostSetup, type Shape } from '../qemu/setup.ts';
import { diskFiles, findDamage, memoryFiles } from '../snapshots/damage.ts';
import {
  argvHash,
  compatibilityKey,
  type Compatibility,
  type Manifest,
  readManifest,
} from '../snapshots/manifest.ts';
import { buildTemplate } from './build.ts';
import { firstCommands, lastCommands } from './settle.ts';

/** A snapshot that machines are restored from. */
export interface Template {
  directory: string;
  manifest: Manifest;
}

/** The templates of this host. Each shape of a template is built when it is first requested, and then kept. */
export class TemplateStore {
  readonly #directory: string;
  readonly #host: HostSetup;
  readonly #known = new Map<string, Promise<Template>>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(directory: string, host: HostSetup) {
    this.#directory = directory;
    this.#host = host;
  }

  /** Removes what interrupted builds left behind. */
  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const entry of await readdir(this.#directory)) {
      const builder = /^\.build-(\d+)-/.exec(entry)?.[1];
      if (builder !== undefined && !isAlive(Number(builder)))
        await discardDirectory(join(this.#directory, entry), this.#host.trash);
    }
  }

  /** Names that `get` takes. */
  names(): string[] {
    return ['base'];
  }

  /**
   * The template for a shape, built now if this host does not have it. Builds run one after another, and callers that
   * want the same shape share its build.
   * @throws ApiError `template_not_found`, or `creation_failed` when the guest does not start
   */
  async get(name: string, shape: Shape): Promise<Template> {
    if (!this.names().includes(name))
      throw new ApiError(
        'template_not_found',
        `there is no template ${JSON.stringify(name)}; there is: ${this.names().join(', ')}`,
      );
    const compatibility = this.compatibility(name, shape);
    const key = compatibilityKey(name, compatibility);
    let known = this.#known.get(key);
    if (known === undefined) {
      known = this.#find(name, key, shape, compatibility);
      this.#known.set(key, known);
      known.catch(() => this.#known.delete(key));
    }
    return known;
  }

  async #find(name: string, key: string, shape: Shape, compatibility: Compatibility): Promise<Template> {
    const directory = join(this.#directory, key);
    const there = await this.#whole(directory, key);
    if (there !== undefined) return { directory, manifest: there };
    const turn = this.#queue.then(() => this.#build(name, directory, shape, compatibility));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /** The template in a directory. A damaged one is deleted: it can be built again from the images. */
  async #whole(directory: string, key: string): Promise<Manifest | undefined> {
    const { log, trash } = this.#host;
    let reason: string | undefined;
    try {
      const manifest = await readManifest(directory);
      if (manifest === undefined) return undefined;
      if (manifest.key === key) {
        const files = [...memoryFiles, ...diskFiles(manifest), machineFiles.kernel, machineFiles.initramfs];
        reason = await findDamage(this.#host, { directory, manifest }, files);
        if (reason === undefined) return manifest;
      } else reason = 'it is not what its name says';
    } catch (error) {
      if (systemErrorCode(error) !== undefined) throw error;
      reason = (error as Error).message;
    }
    log.error({ directory, reason }, 'a template is damaged; it is built again');
    await discardDirectory(directory, trash);
    return undefined;
  }

  async #build(
    name: string,
    directory: string,
    shape: Shape,
    compatibility: Compatibility,
  ): Promise<Template> {
    const log = this.#host.log.child({
      template: name,
      cpuCount: shape.cpuCount,
      memoryMB: shape.memoryMB,
    });
    const started = Date.now();
    const report = (phase: string): void =>
      log.info({ seconds: (Date.now() - started) / 1000 }, `template: ${phase}`);
    try {
      const manifest = await buildTemplate(
        this.#host,
        { name, shape, compatibility, target: directory },
        report,
      );
      report('ready');
      return { directory, manifest };
    } catch (error) {
      log.error({ err: error }, 'template: build failed');
      if (error instanceof ApiError && error.status < 500) throw error;
      throw new ApiError(
        'creation_failed',
        `the template ${name} with ${shape.cpuCount} CPU and ${shape.memoryMB} MB could not be prepared: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }

  /** What a memory of this shape must be compatible with to be restored on this host. */
  compatibility(name: string, shape: Shape): Compatibility {
    const { qemu, acceleration, images, egress } = this.#host;
    const setup = machineSetup(
      this.#host,
      { name, shape, layers: [], slot: undefined },
      { ram: 'private', start: { kind: 'restore' } },
    );
    return {
      qemu: qemu.version.text,
      accelerator: acceleration.accelerator,
      cpuModel: acceleration.cpuModel,
      hostCpu: acceleration.accelerator === 'kvm' ? this.#host.hostCpu : '',
      cpuCount: shape.cpuCount,
      memoryMB: shape.memoryMB,
      diskMB: shape.diskMB,
      boot: preparationKey(images.bootKey, acceleration.accelerator, egress.digest),
      rootfs: images.rootfsKey,
      argv: argvHash(setup),
    };
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}

/** Content key of everything that a template is booted and prepared with. */
function preparationKey(bootKey: string, accelerator: 'kvm' | 'tcg', egress: string): string {
  const parts = JSON.stringify([bootKey, kernelArgs(accelerator), firstCommands, lastCommands, egress]);
  return createHash('sha256').update(parts).digest('hex').slice(0, 16);
}
