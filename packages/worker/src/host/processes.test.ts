import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import {
  childIdentity,
  endGroup,
  groupMembers,
  isSameProcess,
  kill,
  killGroup,
  parseProcessStat,
  processIdentity,
  waitForExit,
} from './processes.ts';
import type { ProcessIdentity } from './processes.ts';

const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

/** A shell in a group of its own; resolves when it has printed its first line. */
async function startShell(
  script: string,
): Promise<{ child: ChildProcess; identity: ProcessIdentity; line: string }> {
  const child = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  started.push(child);
  const [line] = await once(child.stdout, 'data');
  const identity = processIdentity(child.pid ?? 0);
  if (identity === undefined) throw new Error('the shell ended too early');
  return { child, identity, line: String(line).trim() };
}

test('a command that holds spaces and parentheses does not shift the fields', () => {
  const rest = Array.from({ length: 49 }, (_, index) => String(index + 4)).join(' ');
  expect(parseProcessStat(`12 (a) R (b) S ${rest}\n`)).toEqual({
    state: 'S',
    processGroup: 5,
    threads: 20,
    startTime: 22,
  });
});

test.each(['', '12', '12 (sh) S', '12 (sh) S 1 x 3'])('text of another form is refused: %j', (text) => {
  expect(() => parseProcessStat(text)).toThrow('not in the form');
});

test('a process whose first thread has ended runs until its last one has', async () => {
  // exit(2) of one thread alone, as a killed process does it thread by thread.
  const script = `
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("up", flush=True)
ctypes.CDLL(None).syscall(60, 0)`;
  const { child, identity } = await startShell(`exec python3 -c '${script}'`);
  await eventually('the first thread has ended', () =>
    readFileSync(`/proc/${identity.pid}/stat`, 'utf8').includes(') Z '),
  );
  expect(isSameProcess(identity)).toBe(true);
  expect(processIdentity(identity.pid)).toEqual(identity);
  expect(groupMembers(identity.pid)).toEqual([identity.pid]);
  const exited = once(child, 'exit');
  expect(kill(identity, 'SIGKILL')).toBe(true);
  await exited;
  expect(isSameProcess(identity)).toBe(false);
});

test('a running process has an identity that holds until it exits', async () => {
  const { child, identity } = await startShell('echo up; exec sleep 60');
  expect(identity.bootId).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  expect(processIdentity(identity.pid)).toEqual(identity);
  expect(isSameProcess(identity)).toBe(true);
  expect(await waitForExit(identity, 20)).toBe(false);

  const exited = once(child, 'exit');
  expect(kill(identity, 'SIGTERM')).toBe(true);
  expect(await waitForExit(identity, 5000)).toBe(true);
  await exited;
  expect(isSameProcess(identity)).toBe(false);
  expect(processIdentity(identity.pid)).toBeUndefined();
  expect(kill(identity, 'SIGKILL')).toBe(false);
});

test('a zombie is dead', async () => {
  // The shell turns into sleep, which never collects the exit of its child; the child waits until then.
  const child = `sh -c 'while grep -q sh /proc/$PPID/comm; do :; done'`;
  const { line } = await startShell(`${child} & echo $!; exec sleep 60`);
  const zombie = Number(line);
  await expect.poll(() => readFileSync(`/proc/${zombie}/stat`, 'utf8')).toMatch(/\) Z /);
  expect(processIdentity(zombie)).toBeUndefined();
});

test('another process that has the pid now is neither taken for the first nor killed', async () => {
  const { identity } = await startShell('echo up; exec sleep 60');
  const reused: ProcessIdentity[] = [
    { ...identity, startTime: identity.startTime - 1 },
    { ...identity, bootId: 'of an earlier boot' },
  ];
  for (const other of reused) {
    expect(isSameProcess(other)).toBe(false);
    expect(kill(other, 'SIGKILL')).toBe(false);
    expect(killGroup(other, 'SIGKILL')).toBe(false);
    expect(await waitForExit(other, 0)).toBe(true);
  }
  expect(isSameProcess(identity)).toBe(true);
});

test.each([-1, 0, 1, 1.5, Number.NaN, 2 ** 53])('pid %d is never signalled', (pid) => {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const identity = { pid, startTime: 1, bootId };
  expect(processIdentity(pid)).toBeUndefined();
  // Signal 0 would be harmless, but would return true where any process accepts it.
  expect(kill(identity, 'SIGCONT')).toBe(false);
  expect(killGroup(identity, 'SIGCONT')).toBe(false);
});

test('a whole group ends, members that ignore SIGTERM too', async () => {
  const { identity } = await startShell(`trap '' TERM; sleep 60 & sleep 60 & echo up; wait`);
  expect(groupMembers(identity.pid).length).toBe(3);
  expect(killGroup(identity, 'SIGTERM')).toBe(true);
  expect(await endGroup(identity, 5000)).toBe(true);
  expect(groupMembers(identity.pid)).toEqual([]);
});

test('a group ends whose leader has left its children behind', async () => {
  const { child, identity, line } = await startShell('sleep 60 & echo $!; read never < /dev/zero; exit 0');
  const orphan = Number(line);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(processIdentity(orphan)).toBeDefined();
  expect(await endGroup(identity, 5000)).toBe(true);
  expect(processIdentity(orphan)).toBeUndefined();
});

test('a group ends whose leader was over before anybody looked', async () => {
  const child = spawn('sh', ['-c', 'sleep 60 & exit 0'], { detached: true, stdio: 'ignore' });
  const pid = child.pid ?? 0;
  // During this turn of the event loop nobody collects the exit, so the leader stays a zombie.
  while (!readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) expect(child.exitCode).toBeNull();
  expect(processIdentity(pid)).toBeUndefined();
  const identity = childIdentity(pid);
  expect(groupMembers(pid)).toHaveLength(1);
  expect(identity && (await endGroup(identity, 5000))).toBe(true);
  expect(groupMembers(pid)).toEqual([]);
});
