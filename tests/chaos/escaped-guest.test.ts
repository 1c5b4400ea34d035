import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isSameProcess, processIdentity, type ProcessIdentity } from '@opencomputer/worker/processes';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { TestMachine } from '../support/test-machine.ts';
import { TestWorker } from '../support/worker.ts';

const execute = promisify(execFile);

// What code can do to others that has escaped from a guest into its QEMU process. It is imitated by a process of the
// same user in the same directory, without privileges.
describe('a guest that has escaped into its QEMU process', { timeout: 900_000 }, () => {
  let worker: TestWorker;
  let alice: TestMachine;
  let bob: TestMachine;

  beforeAll(async () => {
    worker = await TestWorker.start();
  });
  afterAll(() => worker.destroy());
  beforeEach(async () => {
    await worker.startAgainIfEnded();
    for (const { id } of await worker.machines()) await worker.machine(id).delete();
    [alice, bob] = await Promise.all([worker.create(), worker.create()]);
    await bob.run('echo of bob > /root/secret');
    await alice.run('echo of alice > /root/secret; sync');
  });

  const run = (machine: TestMachine): string => join(worker.directory(machine.id), 'run-1');

  function processOf(machine: TestMachine): ProcessIdentity {
    const found = worker.processes().get(`${machine.id}.1`);
    if (found === undefined) throw new Error(`${machine.id} has no process`);
    return found;
  }

  /** Command line that does something as the QEMU process of a machine could. */
  async function asQemu(machine: TestMachine, ...command: string[]): Promise<[string, string[]]> {
    const { uid } = await stat(`/proc/${processOf(machine).pid}`);
    expect(uid).toBeGreaterThanOrEqual(300_000);
    const user = [
      `--reuid=${uid}`,
      `--regid=${uid}`,
      '--clear-groups',
      '--no-new-privs',
      '--bounding-set=-all',
    ];
    return ['setpriv', [...user, '--', ...command]];
  }

  async function does(machine: TestMachine, line: string): Promise<boolean> {
    const [program, args] = await asQemu(machine, 'sh', '-c', line);
    return execute(program, args, { cwd: run(machine) }).then(
      () => true,
      () => false,
    );
  }

  it('replaces no file and no socket that the worker opens by name', async () => {
    const before = await readdir(run(alice));
    expect(await does(alice, 'test -w disk.qcow2')).toBe(true);
    for (const line of [
      `ln -sf ../../${bob.id}/run-1/agent.sock agent.sock`,
      `ln -sf ../../${bob.id}/run-1/qmp.sock qmp.sock`,
      'ln -s /etc/cron.d/oc disk-1.qcow2',
      'ln ram devices',
      'ln -f ram disk.qcow2',
      'rm -f disk.qcow2',
      'mkfifo disk-1.qcow2',
      'rm -f agent.sock',
      'touch x',
    ])
      expect([line, await does(alice, line)]).toEqual([line, false]);
    expect(await readdir(run(alice))).toEqual(before);
    for (const socket of ['qmp.sock', 'agent.sock']) {
      const { uid, mode } = await lstat(join(run(alice), socket));
      expect([uid, mode & 0o777]).toEqual([0, 0o600]);
    }
    await alice.snapshot();
    await alice.hibernate();
    await alice.wake();
    expect(await alice.output('cat /root/secret')).toBe('of alice');
  });

  it('is not taken for the machine of another by its name', async () => {
    const real = processOf(bob);
    const name = `opencomputer-${worker.instanceTag}-${bob.id}.1`;
    const forgeries = await Promise.all(
      [run(alice), '/'].map(async (cwd) => {
        const [program, args] = await asQemu(alice, 'sh', '-c', 'sleep 600; true', 'sh', '-name', name);
        const child = spawn(program, args, { cwd, stdio: 'ignore', detached: true });
        await once(child, 'spawn');
        const identity = processIdentity(child.pid ?? 0);
        if (identity === undefined) throw new Error('the forged process did not start');
        await eventually('the forged process has become what it pretends to be', () =>
          readFileSync(`/proc/${identity.pid}/cmdline`, 'utf8').startsWith('sh\0'),
        );
        return identity;
      }),
    );
    await worker.crash();
    await worker.startAgain();
    expect(forgeries.map(isSameProcess)).toEqual([false, false]);
    expect(isSameProcess(real)).toBe(true);
    expect((await bob.info()).state).toBe('running');
    await bob.hibernate();
    expect(isSameProcess(real)).toBe(false);
    await bob.wake();
    expect(await bob.output('cat /root/secret')).toBe('of bob');
    expect(await alice.output('cat /root/secret')).toBe('of alice');
  });

  it('is not talked to through what it left where an older worker let it write', async () => {
    await worker.crash();
    await chmod(run(alice), 0o1777);
    expect(await does(alice, `rm -f agent.sock; ln -s ../../${bob.id}/run-1/agent.sock agent.sock`)).toBe(
      false,
    );
    // Of an older worker, whose QEMU made the socket itself.
    await execute('rm', [join(run(alice), 'agent.sock')]);
    expect(await does(alice, `ln -s ../../${bob.id}/run-1/agent.sock agent.sock`)).toBe(true);
    await worker.startAgain();
    expect(await alice.info()).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('agent.sock is no socket'),
    });
    expect((await stat(run(alice))).mode & 0o7777).toBe(0o711);
    expect(await bob.output('cat /root/secret')).toBe('of bob');
    // Its disk is what it was.
    await alice.wake();
    expect(await alice.output('cat /root/secret')).toBe('of alice');
  });

  it('blocks nobody with pipes in place of its disk', async () => {
    const others = await Promise.all(Array.from({ length: 3 }, () => worker.create()));
    const hostile = [alice, ...others];
    await worker.crash();
    for (const machine of hostile) {
      await chmod(run(machine), 0o1777);
      expect(await does(machine, 'rm disk.qcow2 && mkfifo disk.qcow2')).toBe(true);
    }
    await worker.startAgain();
    // More than the threads that read files for the worker.
    const answers = await Promise.all(hostile.map((machine) => machine.call('POST', '/hibernate')));
    for (const answer of answers) {
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.text).toContain('disk.qcow2 is a pipe, not a regular file');
    }
    await bob.hibernate();
    await bob.wake();
    expect(await bob.output('cat /root/secret')).toBe('of bob');
    for (const machine of hostile) expect((await machine.run('true')).exitCode).toBe(0);
  });
});
