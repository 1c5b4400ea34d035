import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { endGroup, processIdentity, type ProcessIdentity } from '../host/processes.ts';
import { programPath } from '../host/programs.ts';

/** Users of machines begin here when the worker is root. */
const firstMachineUid = 300_000;

export interface ProcessSetup {
  /** Path of qemu-system-x86_64. */
  qemu: string;
  argv: readonly string[];
  /** Working directory: the machine's files. */
  directory: string;
  /** Where QEMU's own messages go. */
  logFile: string;
  /** File to hand over as descriptor 3: the device state to restore. */
  stateFile?: string;
  /** Namespace and user to run in; undefined without root. */
  confinement?: { namespacePath: string | undefined; uid: number } | undefined;
}

/**
 * Wraps a command so that it runs in a network namespace as an unprivileged user that can gain nothing.
 * Both helpers replace themselves by what they start, so the pid stays the same.
 */
export function confine(command: readonly string[], confinement: ProcessSetup['confinement']): string[] {
  if (confinement === undefined) return [...command];
  const { namespacePath, uid } = confinement;
  return [
    ...(namespacePath === undefined ? [] : ['nsenter', `--net=${namespacePath}`, '--']),
    ...['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs'],
    ...['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--'],
    ...command,
  ];
}

/** A QEMU process: our child, or one that a predecessor of this worker started. */
export interface MachineProcess {
  readonly identity: ProcessIdentity;
  /** Undefined for an adopted process. */
  readonly child: ChildProcess | undefined;
}

/**
 * Starts QEMU in its own session, so that it outlives this process.
 * @throws Error when it cannot be started
 */
export async function startProcess(setup: ProcessSetup): Promise<MachineProcess> {
  const log = await open(setup.logFile, 'a', 0o600);
  let state: FileHandle | undefined;
  try {
    if (setup.stateFile !== undefined) state = await open(setup.stateFile, 'r');
    const [program = '', ...args] = confine([setup.qemu, ...setup.argv], setup.confinement);
    const child = spawn(program, args, {
      cwd: setup.directory,
      detached: true,
      stdio: ['ignore', log.fd, log.fd, ...(state === undefined ? [] : [state.fd])],
      env: { PATH: programPath, LC_ALL: 'C' },
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const identity = child.pid === undefined ? undefined : processIdentity(child.pid);
    if (identity === undefined) throw new Error(`${program} ended at once`);
    return { identity, child };
  } finally {
    await log.close();
    await state?.close();
  }
}

/** Ends a QEMU process and waits until it is gone. @throws Error when it cannot be ended */
export async function endProcess(identity: ProcessIdentity): Promise<void> {
  if (!(await endGroup(identity, 10_000))) throw new Error(`QEMU process ${identity.pid} does not end`);
}

/** Ends all QEMU processes of this installation whose names begin so. @throws Error when one cannot be ended */
export async function endProcessesOf(prefix: string): Promise<void> {
  for (const process of findProcesses(prefix).values()) await endProcess(process);
}

/**
 * The running QEMU processes of this installation by the `-name` they were started with.
 * @param prefix what the names begin with
 */
export function findProcesses(prefix: string): Map<string, ProcessIdentity> {
  const found = new Map<string, ProcessIdentity>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const name = nameOfProcess(entry);
    if (name === undefined || !name.startsWith(prefix) || !mayBeOurs(entry)) continue;
    const identity = processIdentity(Number(entry));
    if (identity !== undefined) found.set(name.slice(prefix.length), identity);
  }
  return found;
}

/** Anyone may give a process any command line, but not our user or those of machines. */
function mayBeOurs(pid: string): boolean {
  try {
    const { uid } = statSync(join('/proc', pid));
    return uid === process.getuid?.() || (process.getuid?.() === 0 && uid >= firstMachineUid);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

function nameOfProcess(pid: string): string | undefined {
  let args: string[];
  try {
    args = readFileSync(join('/proc', pid, 'cmdline'), 'utf8').split('\0');
  } catch (error) {
    // Processes come and go while we look.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  const index = args.indexOf('-name');
  return index < 0 ? undefined : args[index + 1];
}
