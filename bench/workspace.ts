import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Logger, pino } from 'pino';
import { processPrefix } from '../packages/worker/src/qemu/setup.ts';
import { endProcess, findProcesses } from '../packages/worker/src/qemu/process.ts';
import { detectNetworkMode, openNetwork } from '../packages/worker/src/network/index.ts';

/** Data directory of one run of the benchmark; all that it makes lies below. */
export interface Workspace {
  directory: string;
  /** Of the machines that the benchmark drives itself. */
  bareDirectory: string;
  log: Logger;
}

const namePattern = /^bench-(\d+)$/;

/** Tells installations apart, as the worker does: a hash of the data directory. */
export function instanceTagOf(directory: string): string {
  return createHash('sha256').update(directory).digest('hex').slice(0, 8);
}

function bareDirectoryOf(directory: string): string {
  return join(directory, 'bare');
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** Makes the workspace beside the cache directory, since machines hold second names of the templates' files. */
export async function makeWorkspace(cacheDirectory: string): Promise<Workspace> {
  const parent = dirname(cacheDirectory);
  await removeAbandoned(parent);
  const directory = join(parent, `bench-${process.pid}`);
  const bareDirectory = bareDirectoryOf(directory);
  // Passable for the server's user, as the launcher makes it.
  await mkdir(directory, { mode: 0o755 });
  await mkdir(bareDirectory, { mode: 0o700 });
  const log = pino({ level: 'warn' }, pino.destination({ dest: join(directory, 'bench.log'), sync: true }));
  return { directory, bareDirectory, log };
}

/** Removes what runs of the benchmark left that were killed. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const entry of await readdir(parent)) {
    const pid = namePattern.exec(entry)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await removeWorkspace(join(parent, entry));
  }
}

/** Ends the machines of a workspace and removes it, with its networks. Nothing else may use it any more. */
export async function removeWorkspace(directory: string): Promise<void> {
  const { mode } = await detectNetworkMode();
  for (const home of [directory, bareDirectoryOf(directory)]) {
    const instanceTag = instanceTagOf(home);
    for (const machine of findProcesses(processPrefix(instanceTag)).values()) await endProcess(machine);
    if (mode === 'namespace') await removeNetwork(instanceTag, join(directory, 'network-removal'));
  }
  await rm(directory, { recursive: true, force: true });
}

async function removeNetwork(instanceTag: string, stateDir: string): Promise<void> {
  await mkdir(stateDir, { recursive: true });
  const network = await openNetwork({ instanceTag, stateDir, warm: 0, log: pino({ level: 'silent' }) });
  await network.sweep([]);
  await network.close({ keep: false });
}
