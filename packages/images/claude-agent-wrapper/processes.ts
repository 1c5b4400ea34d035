import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** A process, told from a later one with its number by when it began. */
export interface Process {
  pid: number;
  /** Clock ticks from the boot to its start: field 22 of `/proc/PID/stat`, see proc_pid_stat(5). */
  startTime: string;
}

interface Entry extends Process {
  parent: number;
  state: string;
}

/** How often it is asked whether killed processes are gone, and for how long; the kernel may be busy with them. */
const pollMs = 10;
const patienceMs = 5_000;

/** @returns undefined where the process is gone */
async function entryOf(pid: number): Promise<Entry | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The name of the program stands in brackets and may contain any character.
  const [state, parent, ...rest] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  const startTime = rest[17];
  if (state === undefined || startTime === undefined) return undefined;
  return { pid, startTime, state, parent: Number(parent) };
}

async function isAlive({ pid, startTime }: Process): Promise<boolean> {
  const entry = await entryOf(pid);
  return entry?.startTime === startTime && entry.state !== 'Z';
}

/** What the children of a process began, and what that began in turn; not the children themselves. */
export async function grandchildrenOf(pid: number): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const entries = (await Promise.all(pids.map(entryOf))).filter((entry) => entry !== undefined);
  const below = (parents: ReadonlySet<number>) => entries.filter(({ parent }) => parents.has(parent));
  const found: Process[] = [];
  let generation = below(new Set([pid]));
  while (generation.length > 0) {
    generation = below(new Set(generation.map((entry) => entry.pid)));
    found.push(...generation);
  }
  return found;
}

/**
 * Kills those that still run, and waits until they are gone.
 * @returns those that are another user's, which are left as they are, or that do not go within five seconds
 */
export async function killLeft(processes: readonly Process[]): Promise<Process[]> {
  const deadline = performance.now() + patienceMs;
  const kept: Process[] = [];
  let left = processes;
  for (;;) {
    const alive = await Promise.all(left.map(isAlive));
    left = left.filter((_, index) => alive[index]);
    if (left.length === 0 || performance.now() > deadline) return [...kept, ...left];
    const refused = left.filter(({ pid }) => !kill(pid));
    kept.push(...refused);
    left = left.filter((process) => !refused.includes(process));
    await delay(pollMs);
  }
}

/** @returns false where it may not be killed */
function kill(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL');
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPERM') return false;
    if (code === 'ESRCH') return true;
    throw error;
  }
}
