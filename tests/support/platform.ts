import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import {
  endGroup,
  isSameProcess,
  kill,
  processIdentity,
  type ProcessIdentity,
  waitForExit,
} from '@opencomputer/worker/processes';

const execute = promisify(execFile);
const cacheDir = process.env['OPENCOMPUTER_CACHE_DIR'] ?? '/var/lib/opencomputer/cache';
const readyMs = 600_000;

export interface PlatformOptions {
  env?: Record<string, string>;
  /** Keep this data directory from an earlier platform. */
  dataDir?: string;
}

/** A platform of its own: launcher, server and worker on a fresh data directory and a free port. */
export class TestPlatform {
  readonly url: string;
  readonly dataDir: string;
  readonly #launcher: ProcessIdentity;

  private constructor(url: string, dataDir: string, launcher: ProcessIdentity) {
    this.url = url;
    this.dataDir = dataDir;
    this.#launcher = launcher;
  }

  static async start(options: PlatformOptions = {}): Promise<TestPlatform> {
    const dataDir = options.dataDir ?? (await freshDataDir());
    const listen = `127.0.0.1:${await freePort()}`;
    const log = openSync(join(dataDir, 'platform.log'), 'a');
    const child = spawn(
      process.execPath,
      [join(import.meta.dirname, '../../packages/standalone/src/main.ts')],
      {
        detached: true,
        stdio: ['ignore', log, log],
        env: {
          ...process.env,
          OPENCOMPUTER_LISTEN: listen,
          OPENCOMPUTER_DATA_DIR: dataDir,
          OPENCOMPUTER_CACHE_DIR: cacheDir,
          ...options.env,
        },
      },
    );
    child.unref();
    const launcher = child.pid === undefined ? undefined : processIdentity(child.pid);
    if (launcher === undefined) throw new Error('the launcher did not start');
    const platform = new TestPlatform(`http://${listen}`, dataDir, launcher);
    await platform.ready();
    return platform;
  }

  /** The bootstrap key. */
  get key(): string {
    return readFileSync(join(this.dataDir, 'api-key'), 'utf8').trim();
  }

  /** Makes a further key, as an operator would. */
  async addKey(name: string, owner: string): Promise<string> {
    const command = join(import.meta.dirname, '../../packages/server/src/commands/keys.ts');
    const { stdout } = await execute(process.execPath, [command, 'add', name, '--owner', owner], {
      env: { ...process.env, OPENCOMPUTER_DATA_DIR: this.dataDir },
    });
    const key = /osb_[0-9a-f]{64}/.exec(stdout)?.[0];
    if (key === undefined) throw new Error(`the command printed no key: ${stdout}`);
    return key;
  }

  get log(): string {
    return readFileSync(join(this.dataDir, 'platform.log'), 'utf8');
  }

  /** Waits until it takes requests. @throws Error with the end of its log when it does not */
  async ready(): Promise<void> {
    const end = Date.now() + readyMs;
    for (;;) {
      if (await this.answers('/readyz')) return;
      if (!isSameProcess(this.#launcher)) throw new Error(`the platform ended:\n${this.log.slice(-4000)}`);
      if (Date.now() >= end) throw new Error(`the platform is not ready:\n${this.log.slice(-4000)}`);
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
    const module = `packages/${name}/src/main.ts`;
    for (const pid of children(this.#launcher.pid)) {
      if (commandLine(pid).includes(module)) return processIdentity(pid);
    }
    return undefined;
  }

  /** Kills one part as a crash would, and waits until it is gone. The launcher starts it again. */
  async crash(name: 'server' | 'worker'): Promise<void> {
    const process = this.part(name);
    if (process === undefined) return;
    kill(process, 'SIGKILL');
    await waitForExit(process, 10_000);
  }

  /** QEMU processes of this platform by sandbox id. */
  machines(): Map<string, ProcessIdentity> {
    const found = new Map<string, ProcessIdentity>();
    for (const pid of allPids()) {
      const match = /-name\0opencomputer-[0-9a-f]{8}-(sb-[0-9a-f]{8})\0/.exec(commandLine(pid, false));
      const identity =
        match === null || readlink(`/proc/${pid}/cwd`)?.startsWith(this.dataDir) !== true
          ? undefined
          : processIdentity(pid);
      if (match?.[1] !== undefined && identity !== undefined) found.set(match[1], identity);
    }
    return found;
  }

  /** Stops the platform; its sandboxes run on. */
  async stop(): Promise<void> {
    kill(this.#launcher, 'SIGTERM');
    if (!(await waitForExit(this.#launcher, 30_000))) throw new Error('the platform does not stop');
  }

  /** Ends everything, sandboxes too, and removes the data. */
  async destroy(): Promise<void> {
    if (isSameProcess(this.#launcher)) await this.deleteSandboxes();
    await this.stop().catch(() => endGroup(this.#launcher, 10_000));
    for (const process of this.machines().values()) await endGroup(process, 10_000);
    await rm(this.dataDir, { recursive: true, force: true });
  }

  private async deleteSandboxes(): Promise<void> {
    await this.ready();
    const headers = { 'X-API-Key': this.key };
    const list = (await (await fetch(`${this.url}/api/sandboxes?limit=1000`, { headers })).json()) as {
      sandboxID: string;
    }[];
    await Promise.all(
      list.map(({ sandboxID }) =>
        fetch(`${this.url}/api/sandboxes/${sandboxID}`, { method: 'DELETE', headers }),
      ),
    );
  }
}

async function freshDataDir(): Promise<string> {
  // Beside the cache, since both must be on one file system.
  const parent = join(dirname(cacheDir), 'test');
  await mkdir(parent, { recursive: true });
  return mkdtempSync(join(parent, 'p-'));
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function commandLine(pid: number, spaced = true): string {
  try {
    const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return spaced ? text.replaceAll('\0', ' ') : text;
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return '';
    throw error;
  }
}

function readlink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

function children(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(Number);
}
