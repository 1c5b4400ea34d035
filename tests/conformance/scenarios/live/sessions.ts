import { expect } from 'vitest';
import { patience, recorder } from './recorder.ts';
import type { LiveSession } from '../../clients/live.ts';
import type { Scenario } from '../scenario.ts';

const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
const noEnd = 'it cannot end the input of a command';

export const sessionScenarios: Scenario[] = [
  {
    name: 'a session streams both outputs as bytes, and ends with the exit code',
    async run({ sandbox }) {
      const seen = recorder();
      const session = await sandbox.exec.start('sh', {
        args: ['-c', 'printf "\\377\\000out"; printf "err\\376" >&2; exit 7'],
        ...seen,
      });
      expect(await session.done).toBe(7);
      await expect.poll(() => seen.exits, patience).toEqual([7]);
      expect(seen.stdout).toEqual(Buffer.from('\xff\0out', 'latin1'));
      expect(seen.stderr).toEqual(Buffer.from('err\xfe', 'latin1'));
      expect(seen.scrollbackEnds).toHaveLength(1);
    },
  },
  {
    name: 'a session has its arguments, environment and directory',
    async run({ sandbox }) {
      const seen = recorder();
      const script = 'printf "%s|" "$@" "$FROM_SANDBOX" "$OVERRIDDEN" "$PWD" "$(id -un)"';
      const session = await sandbox.exec.background('sh', {
        args: ['-c', script, 'sh', 'two words', "it's", '$HOME'],
        env: { OVERRIDDEN: 'session' },
        cwd: '/tmp',
        ...seen,
      });
      expect(await session.done).toBe(0);
      expect(String(seen.stdout)).toBe("two words|it's|$HOME|sandbox|session|/tmp|sandbox|");
    },
  },
  {
    name: 'a line without arguments is run by a shell',
    async run({ sandbox }) {
      const seen = recorder();
      const session = await sandbox.exec.start('echo one two; exit 3', seen);
      expect(await session.done).toBe(3);
      expect(String(seen.stdout)).toBe('one two\n');
    },
  },
  {
    name: 'what cannot start is an error',
    async run({ sandbox }) {
      await expect(sandbox.exec.start('no-such-program')).rejects.toThrow(/no-such-program/);
      await expect(sandbox.exec.start('true', { cwd: '/no/such/place' })).rejects.toThrow(/no\/such\/place/);
    },
  },
  {
    name: 'input arrives byte by byte as it was sent',
    async run({ sandbox }) {
      const seen = recorder();
      const session = await sandbox.exec.start('head', { args: ['-c', '263'], ...seen });
      session.sendStdin('héllo\n');
      session.sendStdin(everyByte);
      expect(await session.done).toBe(0);
      expect(seen.stdout).toEqual(Buffer.concat([Buffer.from('héllo\n'), everyByte]));
    },
  },
  {
    name: 'a conversation goes back and forth',
    async run({ sandbox }) {
      const seen = recorder();
      const session = await sandbox.exec.start('sh', {
        args: ['-c', 'while read -r line; do [ "$line" = end ] && exit 5; echo "got $line"; done'],
        ...seen,
      });
      for (let turn = 1; turn <= 5; turn += 1) {
        session.sendStdin(`turn ${turn}\n`);
        await expect.poll(() => String(seen.stdout), patience).toContain(`got turn ${turn}\n`);
      }
      session.sendStdin('end\n');
      expect(await session.done).toBe(5);
    },
  },
  {
    name: 'the end of the input ends what reads it',
    cannot: { published: noEnd },
    async run({ sandbox }) {
      const seen = recorder();
      const session = await sandbox.exec.start('sort', seen);
      session.sendStdin('b\na\n');
      await session.closeStdin?.();
      expect(await session.done).toBe(0);
      expect(String(seen.stdout)).toBe('a\nb\n');
      await expect(session.sendStdin('late')).rejects.toMatchObject({ code: 'session_ended' });
    },
  },
  {
    name: 'megabytes of input pass through a pipe unharmed',
    cannot: { published: noEnd },
    async run({ sandbox }) {
      const seen = recorder();
      const session = await sandbox.exec.start('sha256sum', seen);
      const { createHash } = await import('node:crypto');
      const hash = createHash('sha256');
      for (let piece = 0; piece < 32; piece += 1) {
        const data = Buffer.alloc(128 * 1024 - piece, piece + 1);
        hash.update(data);
        await session.sendStdin(data);
      }
      await session.closeStdin?.();
      expect(await session.done).toBe(0);
      expect(String(seen.stdout)).toBe(`${hash.digest('hex')}  -\n`);
    },
  },
  {
    name: 'who attaches after the end has all of it, and the end',
    async run({ sandbox }) {
      const session = await sandbox.exec.start('sh', { args: ['-c', 'echo out; echo err >&2; exit 9'] });
      expect(await session.done).toBe(9);
      for (let time = 0; time < 2; time += 1) {
        const seen = recorder();
        const again = await sandbox.exec.attach(session.sessionId, seen);
        expect(await again.done).toBe(9);
        expect([String(seen.stdout), String(seen.stderr)]).toEqual(['out\n', 'err\n']);
        expect(seen.scrollbackEnds).toEqual([8]);
      }
    },
  },
  {
    name: 'a session goes on without clients; who comes back has missed nothing',
    async run({ sandbox }) {
      const first = recorder();
      const script = 'for n in $(seq 1 30); do echo $n; sleep 0.1; done';
      const session = await sandbox.exec.start('sh', { args: ['-c', script], ...first });
      await expect.poll(() => String(first.stdout), patience).toContain('3\n');
      session.close();
      expect(await session.done).toBe(-1);
      const second = recorder();
      const again = await sandbox.exec.attach(session.sessionId, second);
      expect(await again.done).toBe(0);
      expect(String(second.stdout)).toBe(lines(1, 30));
      expect(second.scrollbackEnds).toHaveLength(1);
    },
  },
  {
    name: 'any number of clients hear the same, and all may write',
    async run({ sandbox }) {
      const seen = Array.from({ length: 6 }, recorder);
      const [first = recorder(), ...others] = seen;
      const session = await sandbox.exec.start('sh', {
        args: ['-c', 'for n in 1 2 3 4 5 6; do read -r x; echo "$x"; done'],
        ...first,
      });
      const attached: LiveSession[] = [session];
      for (const other of others) attached.push(await sandbox.exec.attach(session.sessionId, other));
      for (const [number, client] of attached.entries()) {
        client.sendStdin(`from ${number}\n`);
        await expect.poll(() => String(first.stdout), patience).toContain(`from ${number}\n`);
      }
      expect(await Promise.all(attached.map(({ done }) => done))).toEqual([0, 0, 0, 0, 0, 0]);
      for (const { stdout } of seen) expect(stdout.equals(first.stdout)).toBe(true);
    },
  },
  {
    name: 'who is there from the start hears everything; who comes late the newest of it',
    async run({ sandbox }) {
      const all = recorder();
      const session = await sandbox.exec.start('seq', { args: ['1', '400000'], ...all });
      expect(await session.done).toBe(0);
      expect(all.stdout.toString('latin1') === lines(1, 400_000)).toBe(true);
      const late = recorder();
      expect(await (await sandbox.exec.attach(session.sessionId, late)).done).toBe(0);
      expect(late.stdout.length).toBeGreaterThan(512 * 1024);
      expect(late.stdout.length).toBeLessThanOrEqual(1024 * 1024);
      expect(all.stdout.subarray(-late.stdout.length).equals(late.stdout)).toBe(true);
    },
  },
  {
    name: 'who knows an offset goes on there',
    cannot: { published: 'it cannot begin at an offset' },
    async run({ sandbox }) {
      const first = recorder();
      const session = await sandbox.exec.start('sh', {
        args: ['-c', 'echo one; read -r _; echo two'],
        ...first,
      });
      await expect.poll(() => String(first.stdout), patience).toBe('one\n');
      const { offset = -1 } = session;
      session.close();
      const second = recorder();
      const again = await sandbox.exec.attach(session.sessionId, { ...second, from: offset });
      again.sendStdin('\n');
      expect(await again.done).toBe(0);
      expect(String(second.stdout)).toBe('two\n');
      const failure = sandbox.exec.attach(session.sessionId, { from: 1_000_000 });
      await expect(failure).rejects.toThrow(/from.*1000000.*beyond/);
    },
  },
  {
    name: 'the list shows what runs and what has ended',
    async run({ sandbox }) {
      const running = await sandbox.exec.start('sleep', { args: ['300'] });
      const ended = await sandbox.exec.start('sh', { args: ['-c', 'exit 4'] });
      await ended.done;
      const find = async (id: string) =>
        (await sandbox.exec.list()).find(({ sessionID }) => sessionID === id);
      expect(await find(running.sessionId)).toMatchObject({
        sandboxID: sandbox.sandboxId,
        command: 'sleep',
        args: ['300'],
        running: true,
        startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        attachedClients: 1,
      });
      expect(await find(ended.sessionId)).toMatchObject({ command: 'sh', running: false, exitCode: 4 });
      running.close();
      await expect.poll(async () => (await find(running.sessionId))?.attachedClients, patience).toBe(0);
      await sandbox.exec.kill(running.sessionId);
      await expect.poll(async () => (await find(running.sessionId))?.running, patience).toBe(false);
    },
  },
];

/** What `seq` prints. */
export function lines(first: number, last: number): string {
  return Array.from({ length: last - first + 1 }, (_, n) => `${first + n}\n`).join('');
}
