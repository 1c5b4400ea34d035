import { expect } from 'vitest';
import { failure } from '../raw-api.ts';
import type { Scenario } from './scenario.ts';

const why = 'its run has no limit of its own to the wait';
export const cannotStopWaiting = { 'published-python': why, 'published-python-0.6': why };

export const execScenarios: Scenario[] = [
  {
    name: 'stdout, stderr and exit code are kept apart',
    async run({ sandbox }) {
      expect(await sandbox.exec.run('echo out; echo err >&2; exit 7')).toMatchObject({
        exitCode: 7,
        stdout: 'out\n',
        stderr: 'err\n',
      });
      expect(await sandbox.exec.run('true')).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
    },
  },
  {
    name: 'it is a real Linux, and the command runs as the user sandbox at home',
    async run({ sandbox }) {
      expect((await sandbox.exec.run('echo Hello from $(uname -a)')).stdout).toMatch(
        /^Hello from Linux .*x86_64/,
      );
      expect((await sandbox.exec.run('id -un; id -u; pwd; echo $HOME')).stdout).toBe(
        'sandbox\n1000\n/home/sandbox\n/home/sandbox\n',
      );
      expect((await sandbox.exec.run('sudo -n id -u')).stdout).toBe('0\n');
    },
  },
  {
    name: 'the tools that agents expect are there',
    async run({ sandbox }) {
      const tools = 'python3 pip3 node npm gcc make git curl wget jq rsync nano vi sqlite3 ssh ip dig sudo';
      const { stdout } = await sandbox.exec.run(
        `for t in ${tools}; do command -v $t >/dev/null || echo $t; done`,
      );
      expect(stdout).toBe('');
    },
  },
  {
    name: 'cwd',
    async run({ sandbox }) {
      expect((await sandbox.exec.run('pwd', { cwd: '/tmp' })).stdout).toBe('/tmp\n');
    },
  },
  {
    name: "a command's own variables win over those of the sandbox, for that command alone",
    async run({ sandbox }) {
      const print = 'echo "$FROM_SANDBOX|$OVERRIDDEN|$OWN"';
      const env = { OVERRIDDEN: 'command', OWN: 'a "quoted" $HOME\nü' };
      expect((await sandbox.exec.run(print, { env })).stdout).toBe('sandbox|command|a "quoted" $HOME\nü\n');
      expect((await sandbox.exec.run(print)).stdout).toBe('sandbox|sandbox|\n');
    },
  },
  {
    name: 'a command of more than a second is waited for',
    async run({ sandbox }) {
      const result = await sandbox.exec.run('echo early; sleep 1.5; echo late; exit 3');
      expect(result).toMatchObject({ exitCode: 3, stdout: 'early\nlate\n' });
    },
  },
  {
    // The published client for Python gives up when it hears nothing for 30 seconds.
    name: 'a command of 45 seconds is waited for',
    slow: true,
    async run({ sandbox }) {
      const result = await sandbox.exec.run('sleep 45; echo late', { timeout: 120 });
      expect(result).toMatchObject({ exitCode: 0, stdout: 'late\n' });
    },
  },
  {
    name: 'output that is not UTF-8 comes with replacement characters',
    async run({ sandbox }) {
      const { exitCode, stdout } = await sandbox.exec.run("printf 'a\\377\\376b\\000c'");
      expect(exitCode).toBe(0);
      expect(stdout).toBe('a\ufffd\ufffdb\0c');
    },
  },
  {
    name: 'characters of many bytes are not torn apart',
    async run({ sandbox }) {
      const { stdout } = await sandbox.exec.run(
        'python3 -c "import sys; sys.stdout.write(chr(0x1f600) * 100001)"',
      );
      expect(stdout === '\u{1f600}'.repeat(100_001)).toBe(true);
    },
  },
  {
    name: 'too much output keeps its end and says so',
    async run({ sandbox }) {
      const result = await sandbox.exec.run("head -c 12000000 /dev/zero | tr '\\0' x; echo; echo END", {
        timeout: 120,
      });
      expect(result.exitCode).toBe(0);
      expect(result.stdout.slice(-6)).toBe('x\nEND\n');
      expect(result.stdout.length).toBeLessThanOrEqual(8 * 1024 * 1024);
      expect(result.stdout.length).toBeGreaterThan(512 * 1024);
      if ('truncated' in result) expect(result.truncated).toBe(true);
    },
  },
  {
    name: 'timeout kills the command and all that it started',
    async run({ sandbox }) {
      const result = await sandbox.exec.run('echo begun; sleep 4321 & sleep 4321; echo not reached', {
        timeout: 2,
      });
      expect(result.exitCode).toBe(-1);
      expect(result.stdout).toBe('begun\n');
      expect(result.stderr).toMatch(/timed out/);
      const left = await sandbox.exec.run("ps -eo args= | grep -c '^sleep 4321' || true");
      expect(left.stdout).toBe('0\n');
    },
  },
  {
    name: 'a signal shows in the exit code',
    async run({ sandbox }) {
      expect((await sandbox.exec.run('kill -9 $$')).exitCode).toBe(137);
    },
  },
  {
    name: 'a command has no terminal and no input to wait for',
    async run({ sandbox }) {
      expect(await sandbox.exec.run('cat; test -t 1 || echo no tty', { timeout: 20 })).toMatchObject({
        exitCode: 0,
        stdout: 'no tty\n',
      });
    },
  },
  {
    name: 'what cannot start is an error, and the sandbox goes on',
    async run({ sandbox }) {
      const error = await failure(sandbox.exec.run('true', { cwd: '/no/such/place' }), 422);
      expect(error.message).toContain('/no/such/place');
      await failure(sandbox.exec.run('true', { env: { 'A=B': 'x' } }), 400);
      await failure(sandbox.exec.run('true', { timeout: -1 }), 400);
      expect((await sandbox.exec.run('no-such-command')).exitCode).toBe(127);
      expect((await sandbox.exec.run('echo fine')).stdout).toBe('fine\n');
    },
  },
  {
    name: 'whoever stops waiting learns the id, and the command goes on',
    cannot: cannotStopWaiting,
    async run({ client, sandbox }) {
      const mark = `/tmp/went-on-${client.name}`;
      const error = await sandbox.exec
        .run(`sleep 3; touch ${mark}`, { timeoutMs: 1000 })
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        name: 'ExecTimeoutError',
        execId: expect.stringMatching(/^[0-9a-f]{8}$/),
      });
      await expect.poll(() => sandbox.files.exists(mark), { timeout: 20_000 }).toBe(true);
    },
  },
  {
    name: 'twenty commands at once keep to themselves',
    async run({ sandbox }) {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, n) => sandbox.exec.run(`sleep 0.3; echo ${n}`)),
      );
      expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 20 }, (_, n) => `${n}\n`));
    },
  },
  {
    name: 'what a command leaves in the background lives on',
    async run({ client, sandbox }) {
      const name = `kept-${client.name}`;
      expect(
        (await sandbox.exec.run(`bash -c 'exec -a ${name} sleep 100 >/dev/null 2>&1 & echo started'`)).stdout,
      ).toBe('started\n');
      expect((await sandbox.exec.run(`pgrep -fc '^${name}'`)).exitCode).toBe(0);
      await sandbox.exec.run(`pkill -f '^${name}'`);
    },
  },
];
