import { setTimeout as delay } from 'node:timers/promises';
import { readFile } from 'node:fs/promises';
import { ApiError } from '@opencomputer/protocol';
import { commandResult, type GuestChannel, startCommand } from '../guest/index.ts';
import { isSameProcess, type ProcessIdentity } from '../host/processes.ts';

/** Clock ticks a second of /proc/PID/stat (USER_HZ, fixed at 100 for programs on Linux). */
const ticksPerSecond = 100;
const quietWindowMs = 500;
/** Share of one processor below which a guest counts as idle. */
const quietLoad = 0.08;

/**
 * The programs that users run first. Each is run once, so that its pages are in the image and all clones share them: a
 * shell, Python, Node, git, and the calls that a create makes.
 */
export const firstCommands: readonly (readonly string[])[] = [
  [
    'sh',
    '-c',
    'echo warm | cat; uname -a; ls -la /; id; env; date; sleep 0.01; mktemp -u; head -c 16 /dev/urandom | od -x',
  ],
  ['bash', '-lc', 'true; for i in 1 2 3; do printf %s "$i"; done'],
  ['python3', '-c', 'import json, os, sys, subprocess, urllib.request, ssl, hashlib; print(sys.version)'],
  ['node', '-e', 'console.log(process.version); require("fs"); require("http")'],
  ['git', '--version'],
  ['sudo', '-n', 'true'],
];

/**
 * What root runs at the end. The journal reads the boot id once, when it starts, and each machine has its own boot id.
 * So the journal is ended here, and the first message of a machine starts it. systemd keeps the streams of the services
 * that print to it.
 */
export const lastCommands: readonly (readonly string[])[] = [
  ['systemctl', 'stop', '--quiet', '--no-warn', 'systemd-journald.service'],
  ['sync'],
];

/** Runs a command in a guest to its end, under a deadline. @throws ApiError when it fails or takes too long */
async function runToEnd(
  channel: GuestChannel,
  argv: readonly string[],
  user: 'root' | 'sandbox',
  timeoutMs: number,
): Promise<string> {
  let result = await startCommand(channel, { argv: [...argv], user, timeoutMs, waitMs: 30_000 });
  while (result.running) result = await commandResult(channel, result.id, 30_000);
  if (result.timedOut) throw new ApiError('guest_timeout', `${argv[0]} took longer than ${timeoutMs} ms`);
  return Buffer.from(result.stdout, 'base64').toString('utf8').trim();
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Waits until a machine has used almost no processor time for three windows in a row, at most `deadlineMs`. */
export async function waitUntilQuiet(machine: ProcessIdentity, deadlineMs: number): Promise<boolean> {
  const end = Date.now() + deadlineMs;
  let before = await cpuSeconds(machine.pid);
  for (let quiet = 0; quiet < 3;) {
    if (Date.now() >= end || !isSameProcess(machine)) return false;
    await delay(quietWindowMs);
    const now = await cpuSeconds(machine.pid);
    quiet = (now - before) / (quietWindowMs / 1000) <= quietLoad ? quiet + 1 : 0;
    before = now;
  }
  return true;
}

/**
 * Brings a freshly booted guest into the state in which clones start: all services started, the programs that users run
 * first in its page cache, and idle.
 * @param report called with the name of each phase, for people
 */
export async function settle(
  channel: GuestChannel,
  machine: ProcessIdentity,
  init: 'systemd' | 'agent',
  report: (phase: string) => void,
): Promise<void> {
  if (init === 'systemd') {
    report('waiting for the system to start up');
    const state = await runToEnd(channel, ['systemctl', 'is-system-running', '--wait'], 'root', 300_000);
    if (state !== 'running') {
      const failed = await runToEnd(
        channel,
        ['systemctl', '--failed', '--no-legend', '--plain'],
        'root',
        60_000,
      );
      throw new ApiError('guest_failed', `the guest's system came up ${state}: ${failed.slice(0, 500)}`);
    }
  }
  report('running what users run first');
  for (const command of firstCommands) await runToEnd(channel, command, 'sandbox', 120_000);
  for (const command of init === 'systemd' ? lastCommands : lastCommands.slice(-1))
    await runToEnd(channel, command, 'root', 120_000);
  report('waiting for it to settle');
  await waitUntilQuiet(machine, 60_000);
}
