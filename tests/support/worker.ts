import { randomBytes, randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineInfo, SnapshotInfo } from '@opencomputer/protocol';
import {
  endGroup,
  isSameProcess,
  kill,
  processIdentity,
  type ProcessIdentity,
  waitForExit,
} from '@opencomputer/worker/processes';
import { ensureImages } from '@opencomputer/images';
import { readConfig } from '../../packages/worker/src/config.ts';
import { findProcesses } from '../../packages/worker/src/qemu/process.ts';
import { removeNetwork } from './host.ts';
import { sharedCacheDir } from './platform.ts';
import { type SocketAnswer, socketCall, type SocketCall } from './socket-call.ts';
import { TestMachine } from './test-machine.ts';

const workerModule = join(import.meta.dirname, '../../packages/worker/src/main.ts');
const readyMs = 120_000;
const createMs = 600_000;

/** The shape of test machines: small, so that their memory is copied quickly. */
export const testShape = { template: 'base', cpuCount: 1, memoryMB: 256, diskMB: 20_480 } as const;

/** A worker alone, without a server, on a data directory of its own. Its API is on a unix socket. */
export class TestWorker {
  readonly dataDir: string;
  readonly socket: string;
  readonly #env: NodeJS.ProcessEnv;
  #process: ProcessIdentity | undefined;

  private constructor(dataDir: string, env: NodeJS.ProcessEnv) {
    this.dataDir = dataDir;
    this.socket = join(dataDir, 'worker/worker.sock');
    this.#env = env;
  }

  /**
   * Starts one and waits until it answers.
   * @param options.dataDir of an earlier worker, or one on another file system; then the caller removes it
   */
  static async start(
    options: { dataDir?: string; cacheDir?: string; env?: Record<string, string> } = {},
  ): Promise<TestWorker> {
    const images = await ensureImages({ cacheDir: sharedCacheDir });
    const parent = join(dirname(sharedCacheDir), 'test');
    await mkdir(parent, { recursive: true });
    if (options.dataDir !== undefined) await mkdir(options.dataDir, { recursive: true });
    const worker = new TestWorker(options.dataDir ?? mkdtempSync(join(parent, 'w-')), {
      ...process.env,
      OPENCOMPUTER_CACHE_DIR: options.cacheDir ?? sharedCacheDir,
      OPENCOMPUTER_BOOT_IMAGE: images.dir,
      OPENCOMPUTER_ROOTFS_IMAGE: dirname(images.rootfs),
      OPENCOMPUTER_JAILER: images.jailer,
      // Every namespace belongs to a machine then, and one too many is seen.
      OPENCOMPUTER_WARM_NETWORKS: '0',
      ...options.env,
    });
    try {
      await worker.startAgain();
      return worker;
    } catch (error) {
      await worker.destroy();
      throw error;
    }
  }

  /** Starts the worker after it was killed or stopped, and waits until it answers. */
  async startAgain(env: Record<string, string> = {}): Promise<void> {
    const log = openSync(join(this.dataDir, 'worker.log'), 'a');
    const inherited = openSync(this.inheritedFile, 'a');
    const child = spawn(process.execPath, [workerModule], {
      detached: true,
      // Node keeps what has a low number to itself.
      stdio: ['ignore', log, log, ...Array<'ignore'>(20).fill('ignore'), inherited],
      env: { ...this.#env, ...env, OPENCOMPUTER_DATA_DIR: this.dataDir },
    });
    closeSync(log);
    closeSync(inherited);
    child.unref();
    this.#process = child.pid === undefined ? undefined : processIdentity(child.pid);
    if (this.#process === undefined) throw new Error('the worker did not start');
    const end = Date.now() + readyMs;
    while (!(await this.#answers())) {
      if (!isSameProcess(this.#process)) throw new Error(`the worker ended:\n${this.log.slice(-4000)}`);
      if (Date.now() >= end) throw new Error(`the worker is not ready:\n${this.log.slice(-4000)}`);
      // Real time: the pause between two looks.
      await delay(25);
    }
  }

  /** For cleaning up after a test that failed while the worker was down. */
  async startAgainIfEnded(): Promise<void> {
    if (this.#process === undefined || !isSameProcess(this.#process)) await this.startAgain();
  }

  /** A file that the worker has open for writing from its start on, as a shell may leave one that starts a platform. */
  get inheritedFile(): string {
    return join(this.dataDir, 'inherited');
  }

  get log(): string {
    return readFileSync(join(this.dataDir, 'worker.log'), 'utf8');
  }

  async #answers(): Promise<boolean> {
    if (!existsSync(this.socket)) return false;
    try {
      return (await this.call('GET', '/v1/worker', { withinMs: 10_000 })).status === 200;
    } catch (error) {
      if (['ECONNREFUSED', 'ENOENT', 'ECONNRESET'].includes((error as NodeJS.ErrnoException).code ?? ''))
        return false;
      throw error;
    }
  }

  call(method: string, path: string, call: SocketCall = {}): Promise<SocketAnswer> {
    return socketCall(this.socket, method, path, call);
  }

  /** A call that must succeed. @throws Error with the answer when it is refused */
  async ask<Body>(method: string, path: string, call: SocketCall = {}): Promise<Body> {
    const answer = await this.call(method, path, call);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body as Body;
  }

  /** Creates a machine, from the template or as a fork of a snapshot. */
  async create(
    options: { snapshot?: string; env?: Record<string, string>; id?: string; memoryMB?: number } = {},
  ): Promise<TestMachine> {
    const { id = `sb-${randomBytes(4).toString('hex')}`, env = {}, ...rest } = options;
    const json = { ...testShape, hostname: id, env, ...rest };
    await this.ask('PUT', `/v1/machines/${id}`, { json, withinMs: createMs });
    return this.machine(id);
  }

  machine(id: string): TestMachine {
    return new TestMachine(this, id);
  }

  async machines(): Promise<MachineInfo[]> {
    return (await this.ask<{ machines: MachineInfo[] }>('GET', '/v1/machines')).machines;
  }

  async snapshots(): Promise<SnapshotInfo[]> {
    return (await this.ask<{ snapshots: SnapshotInfo[] }>('GET', '/v1/snapshots')).snapshots;
  }

  /** @param id of an earlier call that shall be repeated */
  takeSnapshot(
    machine: string,
    kind: 'full' | 'disk_only' = 'full',
    id: string = randomUUID(),
  ): Promise<SnapshotInfo> {
    return this.ask('PUT', `/v1/snapshots/${id}`, { json: { machine, kind } });
  }

  async deleteSnapshot(id: string): Promise<void> {
    await this.ask('DELETE', `/v1/snapshots/${id}`);
  }

  /** QEMU processes of this worker by sandbox id, with the number of the run: `sb-01234567.1`. */
  processes(): Map<string, ProcessIdentity> {
    const found = findProcesses(`opencomputer-${this.instanceTag}-`);
    return new Map([...found].filter(([name]) => name.startsWith('sb-')));
  }

  get instanceTag(): string {
    return readConfig({ ...this.#env, OPENCOMPUTER_DATA_DIR: this.dataDir }).instanceTag;
  }

  /** Directory of a machine. */
  directory(id: string): string {
    return join(this.dataDir, 'worker/machines', id);
  }

  /** What a directory below the worker's holds; nothing when it is not there. */
  entries(...path: string[]): string[] {
    const directory = join(this.dataDir, 'worker', ...path);
    return existsSync(directory) ? readdirSync(directory).toSorted() : [];
  }

  /** Network namespaces of this worker. */
  namespaces(): string[] {
    const prefix = `oc-${this.instanceTag}-`;
    return readdirSync('/run/netns').filter((name) => name.startsWith(prefix));
  }

  /** Kills the worker as a crash would, and waits until it is gone. Machines run on. */
  async crash(): Promise<void> {
    if (this.#process === undefined) return;
    kill(this.#process, 'SIGKILL');
    if (!(await waitForExit(this.#process, 60_000))) throw new Error('the worker does not end');
  }

  /** Kills the QEMU process of a machine. */
  async crashMachine(id: string): Promise<void> {
    for (const [name, identity] of this.processes())
      if (name.startsWith(`${id}.`)) {
        kill(identity, 'SIGKILL');
        await waitForExit(identity, 60_000);
      }
  }

  /** Ends everything it has on the host and removes its data. */
  async destroy(): Promise<void> {
    await this.crash();
    // Those that build templates, too.
    for (const identity of findProcesses(`opencomputer-${this.instanceTag}-`).values())
      await endGroup(identity, 10_000);
    await removeNetwork(this.dataDir);
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
