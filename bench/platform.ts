import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { machineInfoSchema, type MachineInfo, workerPaths } from '@opencomputer/protocol';
import { Sandbox, type SandboxOptions } from '../packages/sdk/src/index.ts';
import { readConfig } from '@opencomputer/standalone/config';
import { prepareServerFiles } from '@opencomputer/standalone/server-files';
import { findProcesses, type ProcessIdentity, processPrefix } from '@opencomputer/worker/bench';
import type { Images } from '@opencomputer/images';
import { Child } from './children.ts';
import { processorMs } from './host.ts';
import { instanceTagOf, type Workspace } from './workspace.ts';

/** The worker sets up the host's network and may probe the acceleration first. */
const workerStartMs = 60_000;
const serverStartMs = 30_000;
const restWindowMs = 100;
const restMs = 3000;

/** Status of a GET, or undefined when nobody answers. */
async function statusOf(target: { socketPath: string } | { host: string; port: number }, path: string) {
  return new Promise<number | undefined>((resolve) => {
    const call = request({ ...target, path, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    call.once('error', () => resolve(undefined));
    call.end();
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The platform as users run it, on a data directory of its own: a worker and a server. */
export class BenchPlatform {
  readonly #env: NodeJS.ProcessEnv;
  readonly #directory: string;
  readonly #port: number;
  readonly #apiKey: string;
  readonly workerSocket: string;
  #worker: Child | undefined;
  #server: Child | undefined;

  private constructor(directory: string, env: NodeJS.ProcessEnv, port: number, apiKey: string) {
    this.#directory = directory;
    this.#env = env;
    this.#port = port;
    this.#apiKey = apiKey;
    this.workerSocket = join(directory, 'worker', 'worker.sock');
  }

  /** Prepares it; nothing runs yet. */
  static async prepare(workspace: Workspace, cacheDirectory: string, images: Images): Promise<BenchPlatform> {
    const port = await freePort();
    const apiKey = `bench-${randomBytes(16).toString('hex')}`;
    const { serverUser } = readConfig(process.env);
    const user = serverUser === undefined ? undefined : `${serverUser}:${serverUser}`;
    if (serverUser !== undefined) await prepareServerFiles(workspace.directory, serverUser);
    const env = {
      ...process.env,
      OPENCOMPUTER_DATA_DIR: workspace.directory,
      OPENCOMPUTER_CACHE_DIR: cacheDirectory,
      OPENCOMPUTER_BOOT_IMAGE: images.dir,
      OPENCOMPUTER_ROOTFS_IMAGE: dirname(images.rootfs),
      OPENCOMPUTER_JAILER: images.jailer,
      OPENCOMPUTER_LISTEN: `127.0.0.1:${port}`,
      OPENCOMPUTER_API_KEY: apiKey,
      ...(user === undefined ? {} : { OPENCOMPUTER_SOCKET_OWNER: user, OPENCOMPUTER_RUN_AS: user }),
    };
    return new BenchPlatform(workspace.directory, env, port, apiKey);
  }

  async startWorker(): Promise<void> {
    const log = join(this.#directory, 'worker.log');
    const worker = Child.start('worker', modulePath('../packages/worker/src/main.ts'), this.#env, log);
    this.#worker = worker;
    const target = { socketPath: this.workerSocket };
    await worker.until(async () => (await statusOf(target, workerPaths.worker)) === 200, workerStartMs);
  }

  /** Starts the server. @returns milliseconds from the start of its process to its first answer */
  async startServer(): Promise<number> {
    const log = join(this.#directory, 'server.log');
    const started = performance.now();
    const server = Child.start('server', modulePath('../packages/server/src/main.ts'), this.#env, log);
    this.#server = server;
    const target = { host: '127.0.0.1', port: this.#port };
    await server.until(async () => (await statusOf(target, '/healthz')) === 200, serverStartMs);
    const took = performance.now() - started;
    await server.until(async () => (await statusOf(target, '/readyz')) === 200, serverStartMs);
    return took;
  }

  async stopServer(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }

  /** Ends both processes; the machines run on. */
  async stop(): Promise<void> {
    await this.stopServer();
    await this.#worker?.stop();
    this.#worker = undefined;
  }

  get pids(): { server: number; worker: number } {
    if (this.#server === undefined || this.#worker === undefined)
      throw new Error('the platform does not run');
    return { server: this.#server.pid, worker: this.#worker.pid };
  }

  /** How clients reach it. */
  get connection(): { apiUrl: string; apiKey: string } {
    return { apiUrl: `http://127.0.0.1:${this.#port}`, apiKey: this.#apiKey };
  }

  createSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
    return Sandbox.create({ ...this.connection, ...options });
  }

  /** Pid of the QEMU process of each of these sandboxes. @throws Error when one has none */
  pidsOf(sandboxes: readonly Sandbox[]): number[] {
    const processes = this.processes();
    return sandboxes.map(({ sandboxId }) => {
      const identity = processes.get(sandboxId);
      if (identity === undefined) throw new Error(`no QEMU process belongs to ${sandboxId}`);
      return identity.pid;
    });
  }

  /** Path of files that a measure may make; they are removed at the end. */
  scratch(name: string): string {
    return join(this.#directory, name);
  }

  /** What the worker knows of a machine. */
  async machineInfo(id: string): Promise<MachineInfo> {
    const body = await new Promise<string>((resolve, reject) => {
      const call = request({ socketPath: this.workerSocket, path: workerPaths.machine(id) }, (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.once('end', () => resolve(Buffer.concat(parts).toString('utf8')));
        answer.once('error', reject);
      });
      call.once('error', reject);
      call.end();
    });
    return machineInfoSchema.parse(JSON.parse(body));
  }

  /** The QEMU processes, by the ids of their sandboxes. */
  processes(): Map<string, ProcessIdentity> {
    const found = findProcesses(processPrefix(instanceTagOf(this.#directory)));
    // The name ends in the number of the run: `sb-01234567.2`.
    return new Map([...found].map(([name, identity]) => [name.replace(/\.\d+$/, ''), identity]));
  }

  /** Waits until both processes have nothing to do, so that what one measurement left is not part of the next. */
  async rest(): Promise<void> {
    const end = performance.now() + restMs;
    const spent = async (): Promise<number> => {
      const { server, worker } = this.pids;
      return (await processorMs(server)) + (await processorMs(worker));
    };
    let before = await spent();
    while (performance.now() < end) {
      await delay(restWindowMs);
      const now = await spent();
      if (now - before <= restWindowMs / 10) return;
      before = now;
    }
  }
}

function modulePath(relative: string): string {
  return new URL(relative, import.meta.url).pathname;
}
