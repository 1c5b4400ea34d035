import { type ChildProcess, spawn } from 'node:child_process';
import { access, open } from 'node:fs/promises';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { systemErrorCode } from '../host/errors.ts';
import { type Jail, jailed, type Opened } from '../host/jail.ts';
import { endGroup, processIdentity, type ProcessIdentity } from '../host/processes.ts';
import { programPath } from '../host/programs.ts';
import { isMachineUser } from '../host/uids.ts';
import { openUntrusted } from '../host/untrusted-file.ts';
import { machineDescriptors, machineFiles } from './argv.ts';

export interface ProcessSetup {
  /** Path of qemu-system-x86_64. */
  qemu: string;
  argv: readonly string[];
  /** Working directory: the machine's files. */
  directory: string;
  /** File for QEMU's own messages. */
  logFile: string;
  /** File to pass as descriptor 3: the device state to restore. */
  stateFile?: string;
  /** The jail that it runs in. Undefined: it has all rights of this process, and makes its sockets itself. */
  jail?: Jail | undefined;
}

/** A QEMU process: our child, or one that an earlier worker started. */
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
  // Node would report the program as missing.
  await access(setup.directory);
  await using stack = new AsyncDisposableStack();
  const log = stack.use(await open(setup.logFile, 'a', 0o600));
  const state = setup.stateFile === undefined ? undefined : stack.use(await openUntrusted(setup.stateFile));
  const command = [setup.qemu, ...setup.argv];
  const { jail } = setup;
  const [program = '', ...args] = jail === undefined ? command : jailed(command, jail, openedFor(state));
  const child = spawn(program, args, {
    cwd: setup.directory,
    detached: true,
    stdio: ['ignore', log.fd, log.fd, state?.fd ?? 'ignore'],
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
}

function openedFor(state: unknown): Opened {
  const { qmp, agent } = machineDescriptors;
  return {
    kept: state === undefined ? [] : [machineDescriptors.state],
    sockets: { [machineFiles.qmp]: qmp, [machineFiles.agent]: agent },
  };
}

/** Ends a QEMU process and waits until it is gone. @throws Error when it cannot be ended */
export async function endProcess(identity: ProcessIdentity): Promise<void> {
  if (!(await endGroup(identity, 10_000))) throw new Error(`QEMU process ${identity.pid} does not end`);
}

/**
 * Ends all QEMU processes of this installation whose names begin with a prefix, and all others of machines below a
 * directory.
 * @throws Error when one cannot be ended
 */
export async function endProcessesOf(prefix: string, directory?: string): Promise<void> {
  for (const { identity } of listProcesses(prefix, directory)) await endProcess(identity);
}

/** A process of a machine, or one that claims to be. */
export interface FoundProcess {
  identity: ProcessIdentity;
  /** The `-name` of its command line: what it claims, and can change. */
  name: string | undefined;
  uid: number;
  /** Its working directory. */
  directory: string;
  /** The program that it runs; where that was replaced since, the path ends in ` (deleted)`. */
  program: string;
}

/** The running QEMU processes of this installation, by the rest of their `-name` after the prefix. */
export function findProcesses(prefix: string): Map<string, ProcessIdentity> {
  return new Map(
    listProcesses(prefix).map(({ name = '', identity }) => [name.slice(prefix.length), identity]),
  );
}

/**
 * The running processes of our own user and of machines' users that have such a name, or that are QEMU and work below a
 * directory.
 * @param prefix what the names begin with
 */
export function listProcesses(prefix: string, directory?: string): FoundProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => lookAt(Number(entry)))
    .filter((found) => found !== undefined)
    .filter(
      ({ name, directory: own, program }) =>
        name?.startsWith(prefix) === true ||
        (directory !== undefined && isQemu(program) && `${own}/`.startsWith(`${directory}/`)),
    );
}

/**
 * Whether a process is the one that runs a machine. Its name proves nothing, since an escaped guest can choose it; it
 * cannot choose the user, directory and program that the kernel reports.
 * @param machine.directory the run directory
 * @param machine.identity of the process that was started, where it is known
 */
export function runsMachine(
  found: FoundProcess,
  machine: { directory: string; uid: number; qemu: string; identity: ProcessIdentity | undefined },
): boolean {
  const { identity, uid, program } = found;
  if (machine.identity !== undefined && !isDeepStrictEqual(identity, machine.identity)) return false;
  if (uid !== machine.uid || !isSameDirectory(`/proc/${identity.pid}/cwd`, machine.directory)) return false;
  return isQemu(program) || nameOfProgram(program) === basename(machine.qemu);
}

function nameOfProgram(path: string): string {
  return basename(path.replace(/ \(deleted\)$/, ''));
}

/** Some distributions start QEMU by a script, and its program has a longer name. */
function isQemu(path: string): boolean {
  return nameOfProgram(path).includes('qemu-system');
}

function isSameDirectory(one: string, other: string): boolean {
  const [a, b] = [orGone(() => statSync(one)), orGone(() => statSync(other))];
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

function lookAt(pid: number): FoundProcess | undefined {
  return orGone(() => {
    const place = join('/proc', String(pid));
    const owner = statSync(place).uid;
    // Anyone may start a process with any command line.
    if (!isMachineUser(owner) && owner !== process.getuid?.()) return undefined;
    const identity = processIdentity(pid);
    if (identity === undefined) return undefined;
    const uid = Number(/^Uid:\t(\d+)\t/m.exec(readFileSync(join(place, 'status'), 'latin1'))?.[1]);
    const args = readFileSync(join(place, 'cmdline'), 'utf8').split('\0');
    const index = args.indexOf('-name');
    const directory = readlinkSync(join(place, 'cwd'));
    const program = readlinkSync(join(place, 'exe'));
    return { identity, name: index < 0 ? undefined : args[index + 1], uid, directory, program };
  });
}

/** What `/proc` says of a process; undefined when it is gone, or is a kernel thread. */
function orGone<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch (error) {
    // Processes come and go meanwhile.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(systemErrorCode(error) ?? '')) return undefined;
    throw error;
  }
}
