import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { systemErrorCode } from './errors.ts';

/**
 * Identifies one process for ever: a pid alone is reused by another process sooner or later. It is plain data, so that
 * it can be stored in a file and read by the next worker.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** When the kernel started it, in clock ticks since the host booted. */
  readonly startTime: number;
  /** The boot of the host: pids and start times begin again with each. */
  readonly bootId: string;
}

interface ProcessStat {
  readonly state: string;
  readonly processGroup: number;
  /** Those that have not ended, and the first one even if it has. */
  readonly threads: number;
  readonly startTime: number;
}

/** Parses `/proc/PID/stat`. The command in parentheses may itself contain spaces and parentheses. */
export function parseProcessStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const [processGroup = NaN, threads = NaN, startTime = NaN] = [2, 17, 19].map((index) =>
    Number(fields[index]),
  );
  if (!state || ![processGroup, threads, startTime].every(Number.isSafeInteger)) {
    throw new Error(
      `/proc/PID/stat is not in the form that Linux writes: ${JSON.stringify(text.slice(0, 200))}`,
    );
  }
  return { state, processGroup, threads, startTime };
}

/** Undefined when there is no such process. Pids below 2 mean groups, all processes or init, and are never ours. */
function readStat(pid: number): ProcessStat | undefined {
  if (!Number.isSafeInteger(pid) || pid < 2) return undefined;
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

/**
 * The state is that of the first thread. As long as another one has not ended, files are open and locked, and a write
 * that is under way goes on.
 */
function isRunning({ state, threads }: ProcessStat): boolean {
  return !['Z', 'X', 'x'].includes(state) || threads > 1;
}

let knownBootId: string | undefined;

function hostBootId(): string {
  knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return knownBootId;
}

/** The identity of a running process; undefined when there is none with this pid, or it is a zombie. */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  if (stat === undefined || !isRunning(stat)) return undefined;
  return { pid, startTime: stat.startTime, bootId: hostBootId() };
}

/**
 * The identity of a child that was spawned in the same turn of the event loop. It may have ended already; its pid is
 * not reused yet, so with this identity its group can still be ended.
 */
export function childIdentity(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat && { pid, startTime: stat.startTime, bootId: hostBootId() };
}

/** Whether exactly this process still runs. A zombie does not count, nor another process with the same pid. */
export function isSameProcess(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  return (
    stat !== undefined &&
    isRunning(stat) &&
    stat.startTime === identity.startTime &&
    identity.bootId === hostBootId()
  );
}

/** Waits until the process is gone, at most `timeoutMs`. Zombies count as gone. @returns whether it is gone */
export async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  return waitUntil(() => !isSameProcess(identity), timeoutMs);
}

/**
 * Signals this process, and never another one that got its pid: the check of the identity and the signal are
 * synchronous.
 * @returns whether there was a process to signal @throws Error when the system forbids it (EPERM)
 */
export function kill(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return isSameProcess(identity) && send(identity.pid, signal);
}

/**
 * Signals the process group that this process leads (it was spawned with `detached: true`), even when the leader has
 * ended and left children: Linux does not reuse a pid as long as a group has its number.
 * @returns whether there was a process to signal
 */
export function killGroup(leader: ProcessIdentity, signal: NodeJS.Signals): boolean {
  return isSameGroup(leader) && send(-leader.pid, signal);
}

/** Kills the group of this leader and waits until no member runs, at most `timeoutMs`. @returns whether none runs */
export async function endGroup(leader: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  killGroup(leader, 'SIGKILL');
  return waitUntil(() => !isSameGroup(leader) || groupMembers(leader.pid).length === 0, timeoutMs);
}

/** Pids of the running members of a process group. */
export function groupMembers(processGroup: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = readStat(pid);
      return stat !== undefined && stat.processGroup === processGroup && isRunning(stat);
    });
}

function isSameGroup(leader: ProcessIdentity): boolean {
  if (!Number.isSafeInteger(leader.pid) || leader.pid < 2 || leader.bootId !== hostBootId()) return false;
  const stat = readStat(leader.pid);
  return stat === undefined || stat.startTime === leader.startTime;
}

function send(target: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ESRCH') return false;
    throw error;
  }
}

/** Linux reports an exit only to the parent, and an adopted process is not our child. So poll, less and less often. */
async function waitUntil(condition: () => boolean, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    if (condition()) return true;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return false;
    await delay(Math.min(pauseMs, leftMs));
  }
}
