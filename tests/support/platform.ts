import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  endGroup,
  isSameProcess,
  kill,
  processIdentity,
  type ProcessIdentity,
  waitForExit,
} from '@opencomputer/worker/processes';
import { Api } from './api.ts';
import { addKey } from './keys.ts';
import { removeNetwork, type Traces, tracesOf } from './host.ts';
import { machinesBelow, partOf } from './processes.ts';

/** Where images and templates are kept from run to run. */
export const sharedCacheDir = process.env['OPENCOMPUTER_CACHE_DIR'] ?? '/var/lib/opencomputer/cache';
const readyMs = 600_000;
const launcherModule = join(import.meta.dirname, '../../packages/standalone/src/main.ts');

export interface PlatformOptions {
  env?: Record<string, string>;
  /** Use this data directory, e.g. that of an earlier platform. */
  dataDir?: string;
  /** Default: the cache that all tests share. Must be on the file system of the data directory. */
  cacheDir?: string;
}

/** A platform of its own: launcher, server and worker on a fresh data directory and a free port. */
export class TestPlatform {
  readonly url: string;
  readonly dataDir: string;
  readonly launcher: ProcessIdentity;
  readonly #options: PlatformOptions;

  private constructor(url: string, dataDir: string, launcher: ProcessIdentity, options: PlatformOptions) {
    this.url = url;
    this.dataDir = dataDir;
    this.launcher = launcher;
    this.#options = options;
  }

  static async start(options: PlatformOptions = {}): Promise<TestPlatform> {
    const dataDir = options.dataDir ?? (await freshDataDir());
    const listen = `127.0.0.1:${await freePort()}`;
    const log = openSync(join(dataDir, 'platform.log'), 'a');
    const child = spawn(process.execPath, [launcherModule], {
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        OPENCOMPUTER_LISTEN: listen,
        OPENCOMPUTER_DATA_DIR: dataDir,
        OPENCOMPUTER_CACHE_DIR: options.cacheDir ?? sharedCacheDir,
        ...options.env,
      },
    });
    child.unref();
    closeSync(log);
    const launcher = child.pid === undefined ? undefined : processIdentity(child.pid);
    if (launcher === undefined) throw new Error('the launcher did not start');
    const platform = new TestPlatform(`http://${listen}`, dataDir, launcher, options);
    try {
      await platform.ready();
      return platform;
    } catch (error) {
      // A caller that gave the directory cleans it up itself.
      if (options.dataDir === undefined) await platform.destroy();
      else await platform.#endLauncher();
      throw error;
    }
  }

  /** The bootstrap key. */
  get key(): string {
    return readFileSync(join(this.dataDir, 'api-key'), 'utf8').trim();
  }

  get api(): Api {
    return new Api(this.url, this.key);
  }

  /** Makes a further key, as an operator would. */
  addKey(name: string, owner: string): Promise<string> {
    return addKey(this.dataDir, name, owner);
  }

  get log(): string {
    return readFileSync(join(this.dataDir, 'platform.log'), 'utf8');
  }

  /** Waits until it takes requests. @throws Error with the end of its log when it does not */
  async ready(): Promise<void> {
    const end = Date.now() + readyMs;
    for (;;) {
      if (await this.answers('/readyz')) return;
      if (!isSameProcess(this.launcher)) throw new Error(`the platform ended:\n${this.log.slice(-4000)}`);
      if (Date.now() >= end) throw new Error(`the platform is not ready:\n${this.log.slice(-4000)}`);
      // Real time: the pause between two looks.
      await delay(50);
    }
  }

  async answers(path: string): Promise<boolean> {
    try {
      return (await fetch(this.url + path, { signal: AbortSignal.timeout(5000) })).ok;
    } catch (error) {
      if (error instanceof TypeError || (error as Error).name === 'TimeoutError') return false;
      throw error;
    }
  }

  /** The running process of one part. */
  part(name: 'server' | 'worker'): ProcessIdentity | undefined {
    return partOf(this.launcher.pid, name);
  }

  /** Kills one part as a crash would, and waits until it is gone. The launcher starts it again. */
  async crash(name: 'server' | 'worker'): Promise<void> {
    const part = this.part(name);
    if (part === undefined) return;
    kill(part, 'SIGKILL');
    await waitForExit(part, 60_000);
  }

  /** QEMU processes of this platform by sandbox id. */
  machines(): Map<string, ProcessIdentity> {
    return machinesBelow(this.dataDir);
  }

  /** What it has on the host. */
  traces(): Traces {
    return tracesOf(this.dataDir);
  }

  /** Kills the launcher alone, as a crash would, and waits until it is gone. */
  async killLauncher(): Promise<void> {
    kill(this.launcher, 'SIGKILL');
    if (!(await waitForExit(this.launcher, 60_000))) throw new Error('the launcher survives SIGKILL');
  }

  /** Starts it again on the same data, under another port. */
  startAgain(options: PlatformOptions = {}): Promise<TestPlatform> {
    return TestPlatform.start({ ...this.#options, ...options, dataDir: this.dataDir });
  }

  /** Stops the platform; its sandboxes run on. */
  async stop(): Promise<void> {
    kill(this.launcher, 'SIGTERM');
    if (!(await waitForExit(this.launcher, 60_000))) throw new Error('the platform does not stop');
  }

  /** Ends everything, sandboxes too, and removes the data and what it made of the host's network. */
  async destroy(): Promise<void> {
    await this.#endLauncher();
    for (const machine of this.machines().values()) await endGroup(machine, 10_000);
    await removeNetwork(this.dataDir);
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async #endLauncher(): Promise<void> {
    const parts = [this.part('server'), this.part('worker')];
    await this.stop().catch(() => endGroup(this.launcher, 10_000));
    // They end by themselves; where a test failed they may not.
    for (const part of parts) {
      if (part === undefined || (await waitForExit(part, 60_000))) continue;
      kill(part, 'SIGKILL');
      await waitForExit(part, 60_000);
    }
  }
}

/** A data directory for one platform. */
export async function freshDataDir(): Promise<string> {
  // Beside the cache, since both must be on one file system.
  const parent = join(dirname(sharedCacheDir), 'test');
  await mkdir(parent, { recursive: true });
  return mkdtempSync(join(parent, 'p-'));
}

/** A port that nothing listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
