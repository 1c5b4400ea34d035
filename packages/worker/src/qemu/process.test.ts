import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, readlink, realpath, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { systemErrorCode } from '../host/errors.ts';
import { isSameProcess, processIdentity, type ProcessIdentity } from '../host/processes.ts';
import { programPath } from '../host/programs.ts';
import { jailableDirectory, testJailer } from '../testing/jailer.ts';
import { failureOf, scratchDirectory, until } from '../testing/scratch.ts';
import { launch } from './launch.ts';
import {
  endProcess,
  findProcesses,
  listProcesses,
  type MachineProcess,
  type ProcessSetup,
  runsMachine,
  startProcess,
} from './process.ts';

const root = process.getuid?.() === 0;

/** A program in place of QEMU that runs a line of shell; its arguments are the machine's. */
async function fakeQemu(script: string, inside?: string): Promise<ProcessSetup> {
  const directory = inside ?? (await scratchDirectory());
  const qemu = join(directory, 'qemu');
  await writeFile(qemu, `#!/bin/sh\n${script}\n`);
  await chmod(qemu, 0o755);
  await chmod(directory, 0o755);
  const run = join(directory, 'run');
  await mkdir(run);
  return {
    qemu,
    argv: ['-name', `test-${process.pid}-one`],
    directory: run,
    logFile: join(directory, 'log'),
  };
}

/** Starts it for the running test. */
async function start(setup: ProcessSetup): Promise<MachineProcess> {
  const started = await startProcess(setup);
  onTestFinished(() => endProcess(started.identity));
  return started;
}

const log = (setup: ProcessSetup): Promise<string> => readFile(setup.logFile, 'utf8');

describe('starting', () => {
  test('gives it the arguments, the directory, a bare environment, no input, and its output to the log', async () => {
    process.env['SECRET_OF_THE_WORKER'] = 'x';
    onTestFinished(() => void delete process.env['SECRET_OF_THE_WORKER']);
    const setup = await fakeQemu('echo "$@"; pwd; env; cat; echo problem >&2; echo ready; exec sleep 60');
    const { identity, child } = await start({ ...setup, argv: ['-name', 'a b', '*', '$HOME'] });
    await until(async () => (await log(setup)).includes('ready'));
    const lines = (await log(setup)).split('\n');
    expect(lines[0]).toBe('-name a b * $HOME');
    expect(lines[1]).toBe(setup.directory);
    expect(lines).toContain('LC_ALL=C');
    expect(lines).toContain(`PATH=${programPath}`);
    expect(lines.join('\n')).not.toContain('SECRET_OF_THE_WORKER');
    expect(lines).toContain('problem');
    expect(child?.pid).toBe(identity.pid);
    expect(await readlink(`/proc/${identity.pid}/fd/0`)).toBe('/dev/null');
  });

  test('the log is appended to, and closed to others', async () => {
    const setup = await fakeQemu('echo more; exec sleep 60');
    await writeFile(setup.logFile, 'before\n', { mode: 0o600 });
    await start(setup);
    await until(async () => (await log(setup)) === 'before\nmore\n');
  });

  test('the device state is descriptor 3, at its beginning; without one there is none', async () => {
    const setup = await fakeQemu('cat <&3; echo; exec sleep 60');
    const stateFile = join(setup.directory, 'devices');
    await writeFile(stateFile, 'device state');
    const { identity } = await start({ ...setup, stateFile });
    await until(async () => (await log(setup)).includes('device state'));
    expect(isSameProcess(identity)).toBe(true);

    const other = await fakeQemu('[ -e /proc/self/fd/3 ] && echo there || echo none; exec sleep 60');
    await start(other);
    await until(async () => (await log(other)) === 'none\n');
  });

  test('it leads a session of its own and outlives the worker that started it', async () => {
    const setup = await fakeQemu('exec sleep 60');
    const script = `
      const { startProcess } = await import(${JSON.stringify(join(import.meta.dirname, 'process.ts'))});
      const { identity } = await startProcess(${JSON.stringify(setup)});
      console.log(identity.pid);`;
    const worker = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    worker.stdout.on('data', (part: Buffer) => (printed += part.toString()));
    // It ends by itself: a machine does not keep a worker's event loop alive.
    const [code] = await once(worker, 'close', { signal: AbortSignal.timeout(10_000) });
    expect(code).toBe(0);
    const identity = processIdentity(Number(printed));
    if (identity === undefined) throw new Error('the process did not outlive its worker');
    onTestFinished(() => endProcess(identity));
    const stat = (await readFile(`/proc/${identity.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
    expect([stat[2], stat[3]]).toEqual([String(identity.pid), String(identity.pid)]);
  });

  test('a program that is missing, or no program, is an error and leaks no file', async () => {
    const setup = await fakeQemu('exec sleep 60');
    await expect(startProcess({ ...setup, qemu: `${setup.qemu}-missing` })).rejects.toThrow('ENOENT');
    await expect(startProcess({ ...setup, directory: `${setup.directory}/missing` })).rejects.toThrow(
      `${setup.directory}/missing`,
    );
    await expect(startProcess({ ...setup, qemu: setup.directory })).rejects.toThrow('EACCES');
    await expect(startProcess({ ...setup, stateFile: `${setup.directory}/missing` })).rejects.toThrow(
      'ENOENT',
    );
    const open = findOpen(setup.logFile);
    expect(open).toEqual([]);
  });

  test('one that ends at once fails to launch, with the last that it said', async () => {
    const setup = await fakeQemu(
      'echo first; echo second; echo third; echo "cannot set up guest memory" >&2; exit 1',
    );
    const error = await failureOf(launch(setup));
    expect(error.message).toMatch(
      /ended at once|did not start: second \| third \| cannot set up guest memory/,
    );
  });

  test('one that runs and opens no monitor is ended when it gives up', async () => {
    const setup = await fakeQemu(`echo "died later" >&2; sleep 0.2; exit 1`);
    expect((await failureOf(launch(setup))).message).toBe('QEMU did not start: died later');
  });
});

/** Descriptors of this process that are open on a file. */
function findOpen(path: string): string[] {
  const { readdirSync, readlinkSync } = process.getBuiltinModule('node:fs');
  return readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`) === path;
    } catch (error) {
      // The descriptor that lists the directory is closed by now.
      if (systemErrorCode(error) === 'ENOENT') return false;
      throw error;
    }
  });
}

describe('ending', () => {
  test('ends one that ignores requests to, and its children', async () => {
    const setup = await fakeQemu('trap "" TERM INT HUP; sleep 60 & echo $!; echo ready; wait; sleep 60');
    const { identity } = await start(setup);
    await until(async () => (await log(setup)).includes('ready'));
    const child = processIdentity(Number((await log(setup)).split('\n')[0]));
    if (child === undefined) throw new Error('the child ended too early');
    await endProcess(identity);
    expect(isSameProcess(identity)).toBe(false);
    expect(isSameProcess(child)).toBe(false);
  });

  test('one that has ended already is fine, and so is its pid in other hands', async () => {
    const setup = await fakeQemu('exec sleep 60');
    const { identity } = await start(setup);
    await endProcess(identity);
    await endProcess(identity);
    const bystander = await start(setup);
    await endProcess({ ...bystander.identity, startTime: bystander.identity.startTime - 1 });
    expect(isSameProcess(bystander.identity)).toBe(true);
  });
});

describe('finding', () => {
  test('finds those whose name begins so, by the rest of the name', async () => {
    const setup = await fakeQemu('sleep 60');
    const prefix = `find-${process.pid}-`;
    const named = (name: string): ProcessSetup => ({ ...setup, argv: ['-m', '1', '-name', name, '-S'] });
    const one = await start(named(`${prefix}sb-1`));
    const two = await start(named(`${prefix}sb-2`));
    await start(named(`other-${prefix}sb-3`));
    await start({ ...setup, argv: ['-append', `${prefix}sb-4`] });
    await start({ ...setup, argv: ['-name'] });
    expect(findProcesses(prefix)).toEqual(
      new Map([
        ['sb-1', one.identity],
        ['sb-2', two.identity],
      ]),
    );
    await endProcess(one.identity);
    expect([...findProcesses(prefix).keys()]).toEqual(['sb-2']);
    expect(findProcesses(`${prefix}none`)).toEqual(new Map());
  });

  test.skipIf(!root)(
    'a name proves nothing: user, directory, program and start must be those of the machine',
    async () => {
      const jailer = await testJailer();
      const setup = await fakeQemu('sleep 60', await jailableDirectory());
      const name = `claim-${process.pid}-sb-1.1`;
      const uid = 345_678;
      const real = await start({
        ...setup,
        argv: ['-name', name],
        jail: { jailer, uid, internet: false },
      });
      // Another tenant's process, which has escaped and uses this name.
      const elsewhere = join(setup.directory, '..', 'elsewhere');
      await mkdir(elsewhere, { mode: 0o711 });
      const forged = await start({
        ...setup,
        argv: ['-name', name],
        directory: elsewhere,
        jail: { jailer, uid: uid + 1, internet: false },
      });
      // For a script, the program that `/proc` shows is its shell.
      const claim = { directory: setup.directory, uid, qemu: await realpath('/bin/sh'), identity: undefined };
      const claimants = (more: object = {}): ProcessIdentity[] =>
        listProcesses(`claim-${process.pid}-`)
          .filter((found) => runsMachine(found, { ...claim, ...more }))
          .map(({ identity }) => identity);
      // Until then they are the jailer, which has the name among its arguments, too.
      await until(() => {
        const programs = listProcesses(`claim-${process.pid}-`).map(({ program }) => program);
        return (
          programs.length === 2 && programs.every((program) => basename(program) === basename(claim.qemu))
        );
      });
      expect(claimants()).toEqual([real.identity]);
      expect(claimants({ identity: real.identity })).toEqual([real.identity]);
      expect(claimants({ identity: forged.identity })).toEqual([]);
      expect(claimants({ identity: { ...real.identity, startTime: real.identity.startTime + 1 } })).toEqual(
        [],
      );
      expect(claimants({ uid: uid + 2 })).toEqual([]);
      expect(claimants({ directory: elsewhere })).toEqual([]);
      expect(claimants({ qemu: '/usr/bin/qemu-system-x86_64' })).toEqual([]);
    },
  );
});
