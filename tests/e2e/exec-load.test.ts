import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Answer, CommandResult } from '../support/api.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { MemoryWatch } from '../support/memory.ts';
import { Oc } from '../support/oc.ts';
import { fileSandbox, sharedApi, sharedPids } from '../support/shared.ts';

const printedBytes = 256 * 1024 * 1024;
const largeBytes = 8 * 1024 * 1024;

describe('a guest that takes all it can', () => {
  const sandbox = fileSandbox({ cpuCount: 2, memoryMB: 1024 });

  test('a command that prints without end is bounded, marked, and costs neither server nor worker its memory', async () => {
    using watch = new MemoryWatch(sharedPids());
    const script = `import os\nblock = b"x" * 2**20\nfor _ in range(${printedBytes} >> 20):\n    assert os.write(1, block) == len(block)\nprint("\\nthe end")`;
    const result = (await sandbox().exec('python3', ['-c', script], { timeout: 170 }))
      .body as unknown as CommandResult;
    expect(result.exitCode).toBe(0);
    expect(result.truncated).toBe(true);
    expect(result.stdout.length).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(result.stdout.endsWith('the end\n')).toBe(true);
    // Held as a whole, it would show as its size.
    expect(watch.growthMB).toBeLessThan(200);
  });

  test('output that is not read through oc waits in the machine, not in client, server or worker', async () => {
    const oc = await Oc.make();
    onTestFinished(() => oc.remove());
    const megabytes = 160;
    const child = oc.spawn(
      'exec',
      '--no-stdin',
      sandbox().id,
      '--',
      'head',
      '-c',
      `${megabytes}M`,
      '/dev/zero',
    );
    const exited = once(child, 'exit');
    await once(child.stdout, 'readable');
    using watch = new MemoryWatch([...sharedPids(), child.pid ?? 0]);
    const written = 'sed -n "s/^wchar: //p" /proc/$(pgrep -x head)/io';
    let last = '';
    let since = Date.now();
    const stands = async (): Promise<boolean> => {
      const now = await sandbox().output(written);
      if (now !== last) since = Date.now();
      last = now;
      return Date.now() - since > 2000;
    };
    await eventually('the command waits for its reader', stands);
    expect(Number(last)).toBeLessThan(megabytes * 2 ** 20);
    let bytes = 0;
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) bytes += chunk.length;
    expect([bytes, (await exited)[0]]).toEqual([megabytes * 2 ** 20, 0]);
    expect(watch.growthMB).toBeLessThan(80);
  });

  test('output to both streams is bounded as well', async () => {
    const line = 'yes out | head -c 20000000; yes err | head -c 20000000 >&2';
    const result = await sandbox().run(line, { timeout: 120 });
    expect(result.truncated).toBe(true);
    expect(result.stdout.length + result.stderr.length).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(result.stderr.endsWith('err\n')).toBe(true);
  });

  test(
    'thirty who ask for a large result at once all get it, and the agent lives',
    { timeout: 900_000 },
    async () => {
      // All that they get would not fit into its memory.
      const small = await sharedApi().create({ memoryMB: 256 });
      onTestFinished(() => small.delete());
      const agent = await small.output('pgrep -o -f opencomputer/agent');
      const line = `sleep 3; yes | head -c ${largeBytes}`;
      const started = await small.call('POST', '/exec/run-async', {
        json: { cmd: 'bash', args: ['-c', line] },
      });
      expect(started.status).toBe(202);
      const poll = (): Promise<Answer> =>
        small.call('GET', `/exec/${String(started.body['execId'])}/result`, {
          signal: AbortSignal.timeout(600_000),
        });
      await eventually('it has ended', async () => (await poll()).body['running'] === false);
      const answers = await Promise.all(Array.from({ length: 30 }, poll));
      const seen = answers.map(({ status, body }) => [status, body['code'], String(body['stdout']).length]);
      expect(seen).toEqual(Array.from({ length: 30 }, () => [200, undefined, largeBytes]));
      expect(answers.some(({ body }) => body['truncated'] === true)).toBe(false);
      expect(await small.output('pgrep -o -f opencomputer/agent')).toBe(agent);
    },
  );

  test(
    'sessions are listed and reached, however many have long arguments',
    { timeout: 900_000 },
    async () => {
      const script = `exit 3\n${'# a\n'.repeat(4000)}`;
      const one = async () => (await sandbox().exec('sh', ['-c', script])).body['exitCode'];
      for (let round = 0; round < 52; round++)
        expect(await Promise.all(Array.from({ length: 10 }, one))).toEqual(Array(10).fill(3));
      const started = await sandbox().call('POST', '/exec', { json: { cmd: 'sleep', args: ['1000'] } });
      expect(started.status).toBe(201);
      const list = await sandbox().call('GET', '/exec');
      expect(list.status).toBe(200);
      const sessions = JSON.parse(list.text) as { sessionID: string; command: string; running: boolean }[];
      expect(sessions.filter(({ running }) => running)).toMatchObject([
        { sessionID: started.body['sessionID'] },
      ]);
    },
  );

  test('a fork bomb leaves the sandbox reachable', async () => {
    const bomb = await sandbox().exec('bash', ['-c', ':(){ :|:& };: ; sleep 600'], { timeout: 10 });
    expect([200, 504]).toContain(bomb.status);
    await eventually(
      'commands again after the bomb',
      async () => (await sandbox().run('echo alive', { timeout: 30 })).stdout === 'alive\n',
      { withinMs: 240_000 },
    );
    await eventually(
      'the bomb\u2019s processes are gone',
      async () => Number(await sandbox().output("pgrep -u sandbox -fc 'sleep 600|:\\(\\)' || true")) <= 1,
      { withinMs: 240_000 },
    );
  });

  test('one that eats all memory is killed, and the agent is not', async () => {
    const hog = 'a = []\nwhile True: a.append(bytearray(16 * 1024 * 1024))';
    await sandbox().write('/tmp/hog.py', hog);
    const result = await sandbox().run('python3 /tmp/hog.py', { timeout: 120 });
    expect(result.exitCode).not.toBe(0);
    expect(result.exitCode).not.toBe(-1);
    await eventually('commands again', async () => (await sandbox().output('echo alive')) === 'alive', {
      withinMs: 240_000,
    });
    expect((await sandbox().info()).status).toBe('running');
  });
});
