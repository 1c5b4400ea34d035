import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isSameProcess, processIdentity, type ProcessIdentity } from '@opencomputer/worker/processes';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { attemptsInPython } from '../../packages/worker/src/testing/attempts.ts';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestMachine } from '../support/test-machine.ts';
import { TestWorker } from '../support/worker.ts';

const execute = promisify(execFile);

// What code can do to others that has escaped from a guest into its QEMU process. It is imitated by a process of the
// same user in the same directory, without privileges. It has the host's mounts unless a test says otherwise: the files
// are to be safe without the jail, too.
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

  const processUid = (machine: TestMachine): number => statSync(`/proc/${processOf(machine).pid}`).uid;

  /** Command line that does something as the QEMU process of a machine could. */
  function asQemu(machine: TestMachine, ...command: string[]): [string, string[]] {
    const uid = processUid(machine);
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

  /** Which of these lines of Python succeed for the user of a machine, in the namespaces of its QEMU process. */
  async function allowed(machine: TestMachine, lines: readonly string[]): Promise<string[]> {
    const { pid } = processOf(machine);
    const script = attemptsInPython(lines, ['EPERM', 'EACCES', 'ENOENT', 'EROFS']);
    const [program, args] = asQemu(machine, '/usr/bin/python3', '-c', script);
    const namespaces = [`--target=${pid}`, '--mount', '--net', '--ipc', '--uts', '--wd'];
    return JSON.parse((await execute('nsenter', [...namespaces, '--', program, ...args])).stdout) as string[];
  }

  async function does(machine: TestMachine, line: string): Promise<boolean> {
    const [program, args] = asQemu(machine, 'sh', '-c', line);
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

  it('sees no device, process and temporary file of the host, and can write nothing but files of its machine', async () => {
    // On the host all of these are open to everybody.
    const open = join(worker.dataDir, 'open');
    await mkdir(open, { mode: 0o777 });
    await chmod(open, 0o777);
    await chmod(worker.dataDir, 0o711);
    const { pid } = processOf(bob);
    const ofHost = [
      'open("/dev/net/tun", "r+b", buffering=0)',
      'open("/dev/shm/x", "w")',
      'open("/tmp/x", "w")',
      'open("/var/tmp/x", "w")',
      `open("${open}/x", "w")`,
      'open("/proc/1/cmdline").read(1)',
      `open("/proc/${pid}/cmdline").read(1)`,
      'open("/proc/sys/kernel/random/boot_id").read(1)',
      'os.listdir("/dev/pts")',
      'os.listdir("/run/netns")',
    ];
    const further = [
      'open("/dev/kvm", "r+b", buffering=0)',
      'open("/dev/fuse", "r+b", buffering=0)',
      'open("/run/lock/x", "w")',
      'open("x", "w")',
      'open("../machine.json")',
      'os.listdir("..")',
    ];
    const own = [
      'open("disk.qcow2", "r+b").read(1)',
      'open("ram", "rb").read(1)',
      'open("/dev/urandom", "rb").read(1)',
      'open("/dev/null", "w").write("x")',
      'open("/proc/self/cmdline").read(1)',
    ];
    expect(await allowed(alice, [...ofHost, ...further, ...own])).toEqual(own);
    // They are there, and what forbids them is where the machine runs.
    const user = `--setuid=${processUid(alice)}`;
    for (const path of ['/dev/net/tun', '/tmp', open, `/proc/${pid}/cmdline`])
      await execute('nsenter', [`--target=${process.pid}`, '--mount', user, '--', 'test', '-r', path]);
  });

  it('is left with what a machine needs of descriptors, privileges, system calls and limits', async () => {
    const { pid } = processOf(alice);
    const links = await Promise.all(
      (await readdir(`/proc/${pid}/fd`)).map((descriptor) => readlink(`/proc/${pid}/fd/${descriptor}`)),
    );
    expect(links).toContain('/dev/net/tun');
    const files = links.filter((link) => link.startsWith('/') && !link.startsWith(`${run(alice)}/`));
    const log = join(worker.directory(alice.id), 'qemu.log');
    // Such as one that a shell left open.
    expect(links).not.toContain(worker.inheritedFile);
    const known = new Set(['/dev/null', '/dev/net/tun', '/dev/urandom', log]);
    expect(files.filter((file) => !known.has(file))).toEqual([]);

    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim();
    expect(field('Groups')).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect([set, Number(`0x${field(set)}`)]).toEqual([set, 0]);
    // One filter is QEMU's own, the other that of the jail.
    expect([field('NoNewPrivs'), field('Seccomp'), field('Seccomp_filters')]).toEqual(['1', '2', '2']);

    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    const limit = (name: string): string | undefined =>
      new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(limits)?.[1];
    expect(limit('Max core file size')).toBe('0');
    expect(Number(limit('Max open files'))).toBeLessThanOrEqual(4096);
    expect(Number(limit('Max file size'))).toBeLessThan(64 * 1024 ** 3);
  });

  it('is not taken for the machine of another by its name', async () => {
    const real = processOf(bob);
    const name = `opencomputer-${worker.instanceTag}-${bob.id}.1`;
    const forgeries = await Promise.all(
      [run(alice), '/'].map(async (cwd) => {
        const [program, args] = asQemu(alice, 'sh', '-c', 'sleep 600; true', 'sh', '-name', name);
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
