import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { apiKey, failure, getSandbox, secondKey } from '../raw-api.ts';
import type { Scenario } from './scenario.ts';

const clockDifferenceMs = 60_000;

const noCpus = 'its create has no parameter for CPUs';
const cannotChooseCpus = { 'published-python': noCpus, 'published-python-0.6': noCpus };

/** Scenarios that make, or end, sandboxes of their own. */
export const lifecycleScenarios: Scenario[] = [
  {
    name: 'create with every option gives what was asked for',
    async run({ client }) {
      const sandbox = await client.create({
        template: 'base',
        timeout: 300,
        envs: { A: '1' },
        metadata: { project: 'x' },
        memoryMB: 512,
      });
      try {
        expect(sandbox.sandboxId).toMatch(/^sb-[0-9a-f]{8}$/);
        expect(sandbox.status).toBe('running');
        expect(await getSandbox(sandbox.sandboxId)).toMatchObject({
          templateID: 'base',
          timeout: 300,
          metadata: { project: 'x' },
          cpuCount: 1,
          memoryMB: 512,
        });
        const { stdout } = await sandbox.exec.run(
          'pwd; echo $A$B; awk "/MemTotal/{print \\$2}" /proc/meminfo',
          {
            cwd: '/tmp',
            env: { B: '2' },
            timeout: 60,
          },
        );
        const [cwd, env, memoryKB] = stdout.trim().split('\n');
        expect([cwd, env]).toEqual(['/tmp', '12']);
        expect(Number(memoryKB) / 1024).toBeGreaterThan(350);
        expect(Number(memoryKB) / 1024).toBeLessThanOrEqual(512);
      } finally {
        await sandbox.kill();
      }
    },
  },
  {
    name: 'create gives as many CPUs as were asked for, or refuses',
    cannot: cannotChooseCpus,
    async run({ client }) {
      const sandbox = await client.create({ cpuCount: 2, memoryMB: 1024 });
      try {
        expect(await getSandbox(sandbox.sandboxId)).toMatchObject({ cpuCount: 2, memoryMB: 1024 });
        expect((await sandbox.exec.run('nproc')).stdout).toBe('2\n');
      } finally {
        await sandbox.kill();
      }
      for (const cpuCount of [5, 1.5])
        expect((await failure(client.create({ cpuCount }), 400)).message).toMatch(/cpuCount|cpu_count/);
    },
  },
  {
    name: 'create without options, connect, setTimeout',
    async run({ client }) {
      const sandbox = await client.create();
      try {
        const before = await getSandbox(sandbox.sandboxId);
        // The published client asks for "never" by itself.
        expect(before.timeout).toBe(client.origin === 'ours' ? 300 : 0);
        const again = await client.connect(sandbox.sandboxId);
        expect(again).toMatchObject({ sandboxId: sandbox.sandboxId, status: 'running' });
        expect(again.domain).toBe(sandbox.domain);
        expect(await again.isRunning()).toBe(true);
        await sandbox.files.write('mark', 'by the first');
        expect(await again.files.read('mark')).toBe('by the first');
        const from = Date.now();
        await again.setTimeout(600);
        const after = await getSandbox(sandbox.sandboxId);
        expect(after.timeout).toBe(600);
        // The server may be on another host, whose clock differs.
        const begun = Date.parse(after.endAt) - 600_000;
        expect(begun).toBeGreaterThan(from - clockDifferenceMs);
        expect(begun).toBeLessThan(Date.now() + clockDifferenceMs);
        await again.setTimeout(0);
        expect(await getSandbox(sandbox.sandboxId)).toMatchObject({
          timeout: 0,
          endAt: '0001-01-01T00:00:00Z',
        });
      } finally {
        await sandbox.kill();
      }
    },
  },
  {
    name: 'kill ends it for good, twice is fine, and nothing works afterwards',
    async run({ client }) {
      const sandbox = await client.create();
      await sandbox.files.write('/tmp/before', 'x');
      await sandbox.kill();
      expect(sandbox.status).toBe('stopped');
      expect(await sandbox.isRunning()).toBe(false);
      await sandbox.kill();
      expect((await getSandbox(sandbox.sandboxId)).status).toBe('stopped');
      expect((await client.connect(sandbox.sandboxId)).status).toBe('stopped');
      await failure(sandbox.exec.run('true'), 410);
      await failure(sandbox.files.read('/tmp/before'), 410);
      await failure(sandbox.files.write('/tmp/after', 'x'), 410);
      await failure(sandbox.files.list('/'), 410);
      await failure(sandbox.files.makeDir('/tmp/d'), 410);
      await failure(sandbox.files.remove('/tmp/before'), 410);
      await failure(sandbox.setTimeout(60), 410);
    },
  },
  {
    name: 'kill ends a command that runs',
    async run({ client }) {
      const sandbox = await client.create();
      const running = sandbox.exec.run('sleep 60', { timeout: 90 }).then(
        () => 'ended',
        (error: unknown) => error,
      );
      await expect
        .poll(async () => (await sandbox.exec.run('pgrep -x sleep')).exitCode, { timeout: 240_000 })
        .toBe(0);
      await sandbox.kill();
      expect(await running).toBeInstanceOf(Error);
    },
  },
  {
    name: 'two sandboxes share nothing',
    async run({ client }) {
      const [one, two] = await Promise.all([client.create(), client.create()]);
      try {
        await one.files.write('/tmp/only-in-one', 'x');
        expect(await two.files.exists('/tmp/only-in-one')).toBe(false);
        const identity = 'cat /proc/sys/kernel/random/uuid /etc/machine-id; hostname';
        const [first, second] = await Promise.all([one.exec.run(identity), two.exec.run(identity)]);
        const values = first.stdout.trim().split('\n');
        expect(values).toHaveLength(3);
        for (const value of values) expect(second.stdout).not.toContain(value);
        await one.kill();
        expect((await two.exec.run('echo alive')).stdout).toBe('alive\n');
      } finally {
        await Promise.all([one.kill(), two.kill()]);
      }
    },
  },
  {
    name: 'options out of range are refused with the name of the option',
    async run({ client }) {
      const refused = [
        [{ memoryMB: 127 }, 400, /memoryMB|memory_mb/],
        [{ memoryMB: -1 }, 400, /memoryMB|memory_mb/],
        [{ memoryMB: 1e9 }, 400, /memoryMB|memory_mb/],
        [{ timeout: -1 }, 400, /timeout/],
        [{ envs: { 'A=B': 'x' } }, 400, /envs/],
        [{ envs: { '': 'x' } }, 400, /envs/],
        [{ metadata: { big: 'x'.repeat(5000) } }, 400, /metadata/],
        [{ template: 'no-such-template' }, 404, /no-such-template/],
      ] as const;
      for (const [options, status, message] of refused) {
        const error = await failure(client.create(options), status);
        expect(error.message).toMatch(message);
      }
    },
  },
  {
    name: 'an unknown sandbox and a wrong key are refused',
    async run({ client, sandbox }) {
      await failure(client.connect('sb-ffffffff'), 404);
      const wrong = `osb_${randomUUID().replaceAll('-', '').repeat(2)}`;
      await failure(client.connect(sandbox.sandboxId, { apiKey: wrong }), 401);
      await failure(client.create({ apiKey: wrong }), 401);
      await failure(client.create({ apiKey: `${apiKey}0` }), 401);
    },
  },
  {
    name: 'another tenant cannot see, use or end a sandbox',
    tenants: true,
    async run({ client, sandbox }) {
      await failure(client.connect(sandbox.sandboxId, { apiKey: secondKey }), 404);
      const theirs = await client.create({ apiKey: secondKey });
      try {
        expect((await theirs.exec.run('echo theirs')).stdout).toBe('theirs\n');
        await failure(client.connect(theirs.sandboxId), 404);
      } finally {
        await theirs.kill();
      }
    },
  },
];
