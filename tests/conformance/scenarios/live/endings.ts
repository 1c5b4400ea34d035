import { expect } from 'vitest';
import { cannotStopWaiting } from '../exec.ts';
import { onItsOwn } from '../state/own.ts';
import { patience, recorder } from './recorder.ts';
import { lines } from './sessions.ts';
import type { SandboxHandle } from '../../clients/client.ts';
import type { Scenario } from '../scenario.ts';

async function isRunning(sandbox: SandboxHandle, id: string): Promise<boolean | undefined> {
  return (await sandbox.exec.list()).find(({ sessionID }) => sessionID === id)?.running;
}

/** How sessions end, and what they outlive. */
export const endingScenarios: Scenario[] = [
  {
    name: 'kill ends a command and its children; a signal may be caught',
    async run({ client, sandbox }) {
      const mark = `killed-${client.name}`;
      const tree = await sandbox.exec.start('bash', {
        args: ['-c', `exec -a ${mark} sleep 301 & exec -a ${mark} sleep 302 & wait`],
      });
      await expect
        .poll(async () => (await sandbox.exec.run(`pgrep -fc '^${mark}'`)).stdout, patience)
        .toBe('2\n');
      await tree.kill();
      expect(await tree.done).toBe(137);
      await expect
        .poll(async () => (await sandbox.exec.run(`pgrep -fc '^${mark}'`)).stdout, patience)
        .toBe('0\n');

      const seen = recorder();
      const catcher = await sandbox.exec.start('sh', {
        args: ['-c', 'trap "exit 42" TERM; echo ready; while :; do sleep 0.1; done'],
        ...seen,
      });
      await expect.poll(() => String(seen.stdout), patience).toBe('ready\n');
      await sandbox.exec.kill(catcher.sessionId, 15);
      expect(await catcher.done).toBe(42);
    },
  },
  {
    name: 'a program that ignores SIGTERM is killed by SIGKILL',
    async run({ sandbox }) {
      const seen = recorder();
      const stubborn = await sandbox.exec.start('sh', {
        args: ['-c', 'trap "" TERM INT HUP; echo ready; while :; do sleep 0.1; done'],
        ...seen,
      });
      await expect.poll(() => String(seen.stdout), patience).toBe('ready\n');
      await stubborn.kill(15);
      await stubborn.kill(2);
      expect(await isRunning(sandbox, stubborn.sessionId)).toBe(true);
      await stubborn.kill(9);
      expect(await stubborn.done).toBe(137);
    },
  },
  {
    name: 'timeout kills a session',
    async run({ sandbox }) {
      const session = await sandbox.exec.start('sh', { args: ['-c', 'sleep 300 & sleep 300'], timeout: 2 });
      expect(await session.done).toBe(-1);
    },
  },
  {
    name: 'maxRunAfterDisconnect ends a session that nobody came back to, and no other',
    async run({ sandbox }) {
      const options = { args: ['300'], maxRunAfterDisconnect: 3 };
      const left = await sandbox.exec.start('sleep', options);
      const watched = await sandbox.exec.start('sleep', options);
      const endless = await sandbox.exec.start('sleep', { args: ['300'] });
      left.close();
      endless.close();
      await expect.poll(() => isRunning(sandbox, left.sessionId), patience).toBe(false);
      expect(await isRunning(sandbox, watched.sessionId)).toBe(true);
      expect(await isRunning(sandbox, endless.sessionId)).toBe(true);
      await sandbox.exec.kill(endless.sessionId);
      await watched.kill();
      expect(await watched.done).toBe(137);
    },
  },
  {
    name: 'unknown sessions are refused',
    async run({ sandbox }) {
      await expect(sandbox.exec.attach('00000000')).rejects.toThrow();
      await expect(sandbox.exec.kill('00000000')).rejects.toThrow();
      await expect(sandbox.exec.reattachShell('00000000')).rejects.toThrow();
    },
  },
  {
    name: 'a command that run stopped waiting for can be attached to',
    cannot: cannotStopWaiting,
    async run({ sandbox }) {
      const failure = await sandbox.exec
        .run('for n in $(seq 1 40); do echo $n; sleep 0.1; done', { timeoutMs: 1000 })
        .catch((error: unknown) => error);
      const { execId } = failure as { execId: string };
      const seen = recorder();
      expect(await (await sandbox.exec.attach(execId, seen)).done).toBe(0);
      expect(String(seen.stdout)).toBe(lines(1, 40));
    },
  },
  {
    name: 'a session and its clients live through hibernation and wake',
    run: onItsOwn(async ({ sandbox }) => {
      const seen = recorder();
      const script =
        'n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done & read -r line; kill $!; wait; exit $line';
      const session = await sandbox.exec.start('bash', { args: ['-c', script], ...seen });
      await expect.poll(() => String(seen.stdout), patience).toContain('3\n');
      await sandbox.hibernate();
      const before = String(seen.stdout).trim().split('\n').length;
      await sandbox.wake({ timeout: 900 });
      await expect
        .poll(() => String(seen.stdout).trim().split('\n').length, patience)
        .toBeGreaterThan(before + 3);
      session.sendStdin('17\n');
      expect(await session.done).toBe(17);
      const count = String(seen.stdout).trim().split('\n').length;
      expect(String(seen.stdout)).toBe(lines(1, count));
    }),
  },
  {
    name: 'input wakes a hibernated sandbox, whose session has it',
    run: onItsOwn(async ({ sandbox }) => {
      const seen = recorder();
      const session = await sandbox.exec.start('sh', { args: ['-c', 'read -r x; echo "got $x"'], ...seen });
      await sandbox.hibernate();
      expect(await sandbox.isRunning()).toBe(false);
      session.sendStdin('it\n');
      expect(await session.done).toBe(0);
      expect(String(seen.stdout)).toBe('got it\n');
      expect(await sandbox.isRunning()).toBe(true);
    }),
  },
  {
    name: 'a fork has the sessions of its origin',
    run: onItsOwn(async ({ client, sandbox, keep }) => {
      const seen = recorder();
      const session = await sandbox.exec.start('sh', {
        args: ['-c', 'echo before; read -r x; echo "after $x"'],
        ...seen,
      });
      await expect.poll(() => String(seen.stdout), patience).toBe('before\n');
      const checkpoint = await sandbox.createCheckpoint('with-session');
      const fork = await keep(client.createFromCheckpoint(checkpoint.id, { timeout: 900 }));
      const inFork = recorder();
      const forked = await fork.exec.attach(session.sessionId, inFork);
      forked.sendStdin('fork\n');
      expect(await forked.done).toBe(0);
      session.sendStdin('origin\n');
      expect(await session.done).toBe(0);
      expect(String(inFork.stdout)).toBe('before\nafter fork\n');
      expect(String(seen.stdout)).toBe('before\nafter origin\n');
    }),
  },
];
