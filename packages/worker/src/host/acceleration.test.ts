import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { probeAcceleration } from './acceleration.ts';
import type { Acceleration, AccelerationProbe } from './acceleration.ts';
import { HostError } from './errors.ts';
import { probeUid } from './jail.ts';
import { jailableDirectory, testJailer } from '../testing/jailer.ts';
import { groupMembers, processIdentity } from './processes.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'acceleration-test-'));
  await writeFile(join(directory, 'kernel'), 'a kernel');
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const hangs = 'exec sleep 60';
const boots = 'echo "Linux version 6.12"; exec sleep 60';
const aborts = 'echo "error: failed to set MSR 0x10a to 0x0" >&2; kill -ABRT $$';
const bootsWithoutArchCapabilities = `case "$cpu" in host) ${aborts};; esac; ${boots}`;

/**
 * A program that answers `--version` like QEMU; otherwise it records its pid and CPU model and acts as the test wants.
 */
async function fakeQemu(behaviour: string, version = '7.2.22'): Promise<string> {
  const path = join(directory, 'qemu');
  const script = [
    '#!/bin/sh',
    `if [ "$1" = --version ]; then echo "QEMU emulator version ${version}"; exit; fi`,
    'while [ $# -gt 0 ]; do if [ "$1" = -cpu ]; then cpu="$2"; fi; shift; done',
    `echo "$$ $cpu" >> ${directory}/starts`,
    behaviour,
  ];
  await writeFile(path, `${script.join('\n')}\n`);
  await chmod(path, 0o755);
  return path;
}

function probeWith(qemu: string, changes: Partial<AccelerationProbe> = {}): Promise<Acceleration> {
  return probeAcceleration({
    setting: 'auto',
    qemu,
    kernel: join(directory, 'kernel'),
    cacheFile: join(directory, 'state', 'acceleration.json'),
    deadlineMs: 700,
    log: pino({ enabled: false }),
    kvmDevice: '/dev/null',
    ...changes,
  });
}

async function starts(): Promise<{ pid: number; cpuModel: string }[]> {
  const lines = await readFile(join(directory, 'starts'), 'utf8').catch(() => '');
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ pid: Number.parseInt(line, 10), cpuModel: line.slice(line.indexOf(' ') + 1) }));
}

async function expectNothingLeft(): Promise<void> {
  for (const { pid } of await starts()) {
    expect(processIdentity(pid)).toBeUndefined();
    expect(groupMembers(pid)).toEqual([]);
  }
}

async function refusalOf(attempt: Promise<unknown>): Promise<HostError> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof HostError) return error;
  throw new Error(`expected a HostError, not ${String(error)}`);
}

describe('a KVM that', () => {
  test('boots the kernel is used', async () => {
    const found = await probeWith(await fakeQemu(boots), { deadlineMs: 10_000 });
    expect(found).toMatchObject({ accelerator: 'kvm', cpuModel: 'host', cached: false });
    expect(found.reason).toMatch(/^The guest kernel answered under KVM after \d+ ms\.$/);
    expect(found).not.toHaveProperty('hint');
    expect(await starts()).toHaveLength(1);
    await expectNothingLeft();
  });

  test('hangs means emulation, and the machine is killed with its children', async () => {
    const found = await probeWith(await fakeQemu('sleep 60 & sleep 60'));
    expect(found).toMatchObject({ accelerator: 'tcg', cpuModel: 'max,-erms,-fsrm', cached: false });
    expect(found.reason).toContain('printed nothing within 0.7 s');
    expect(found.hint).toContain(join(directory, 'state', 'acceleration.json'));
    expect(await starts()).toHaveLength(1);
    await expectNothingLeft();
  });

  test('aborts with every CPU model means emulation, with what QEMU said', async () => {
    const found = await probeWith(await fakeQemu(aborts), { deadlineMs: 10_000 });
    expect(found).toMatchObject({ accelerator: 'tcg', cpuModel: 'max,-erms,-fsrm' });
    expect(found.reason).toContain('error: failed to set MSR 0x10a to 0x0');
    expect(found.reason).toContain('SIGABRT');
    expect((await starts()).map(({ cpuModel }) => cpuModel)).toEqual(['host', 'host,-arch-capabilities']);
    await expectNothingLeft();
  });

  test('aborts with plain host only is used with the CPU model that works', async () => {
    const found = await probeWith(await fakeQemu(bootsWithoutArchCapabilities), { deadlineMs: 10_000 });
    expect(found).toMatchObject({ accelerator: 'kvm', cpuModel: 'host,-arch-capabilities' });
    await expectNothingLeft();
  });

  test('lets QEMU end in silence means emulation', async () => {
    const found = await probeWith(await fakeQemu('exit 0'), { deadlineMs: 10_000 });
    expect(found).toMatchObject({ accelerator: 'tcg' });
    expect(found.reason).toContain('ended with status 0 and printed no error');
  });

  test('leaves a child that holds the serial port open does not hold up the probe', async () => {
    const found = await probeWith(await fakeQemu('sleep 60 & exit 1'), { deadlineMs: 2000 });
    expect(found.reason).toContain('ended with status 1');
    await expectNothingLeft();
  });

  test('makes QEMU complain without end costs bounded memory', async () => {
    const found = await probeWith(await fakeQemu('yes complaint >&2'));
    expect(found.accelerator).toBe('tcg');
    expect(found.reason.length).toBeLessThan(1000);
    await expectNothingLeft();
  });
});

describe('without booting', () => {
  test('no /dev/kvm means emulation, and is not kept', async () => {
    const qemu = await fakeQemu(boots);
    const found = await probeWith(qemu, { kvmDevice: join(directory, 'kvm') });
    expect(found).toMatchObject({
      accelerator: 'tcg',
      cached: false,
      reason: `There is no usable ${directory}/kvm.`,
    });
    expect(found.hint).toContain('nested virtualization');
    expect(await starts()).toEqual([]);
    await symlink('/dev/null', join(directory, 'kvm'));
    expect(await probeWith(qemu, { kvmDevice: join(directory, 'kvm'), deadlineMs: 10_000 })).toMatchObject({
      accelerator: 'kvm',
    });
  });

  test('no permission means emulation, with the group named', async () => {
    const device = join(directory, 'kvm');
    await writeFile(device, '');
    await chmod(device, 0o000);
    await chmod(directory, 0o755);
    const qemu = await fakeQemu(boots);
    // Root may open anything, so a process that is no longer root asks.
    const script = `
      const { probeAcceleration } = await import(${JSON.stringify(new URL('acceleration.ts', import.meta.url).href)});
      if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
      const log = { info() {}, warn() {} };
      const probe = { setting: 'auto', qemu: ${JSON.stringify(qemu)}, kernel: '', cacheFile: '', deadlineMs: 1, log };
      console.log(JSON.stringify(await probeAcceleration({ ...probe, kvmDevice: ${JSON.stringify(device)} })));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [printed] = await once(child.stdout, 'data');
    expect(JSON.parse(String(printed))).toMatchObject({
      accelerator: 'tcg',
      reason: `This user may not open ${device}.`,
      hint: expect.stringContaining('usermod -aG kvm'),
    });
  });

  test('no QEMU means emulation, and is not kept', async () => {
    const found = await probeWith(join(directory, 'nothing'));
    expect(found).toMatchObject({ accelerator: 'tcg', cached: false });
    expect(found.reason).toContain('cannot be run');
    expect(await readdir(directory)).toEqual(['kernel']);
  });

  test('no kernel is an error', async () => {
    const error = await refusalOf(probeWith(await fakeQemu(boots), { kernel: join(directory, 'missing') }));
    expect(error.message).toContain('The guest kernel');
    expect(error.hint).toBe('Build the image first.');
  });

  test('the setting tcg starts nothing', async () => {
    expect(await probeWith('/nonexistent', { setting: 'tcg' })).toMatchObject({
      accelerator: 'tcg',
      cpuModel: 'max,-erms,-fsrm',
    });
  });
});

describe('the setting kvm', () => {
  test('is met by a KVM that works', async () => {
    const found = await probeWith(await fakeQemu(boots), { setting: 'kvm', deadlineMs: 10_000 });
    expect(found.accelerator).toBe('kvm');
  });

  test.each([
    ['hangs', hangs, 'printed nothing'],
    ['aborts', aborts, 'failed to set MSR'],
  ])('is an error where KVM %s', async (_name, behaviour, cause) => {
    const error = await refusalOf(probeWith(await fakeQemu(behaviour), { setting: 'kvm' }));
    expect(error.message).toContain("KVM was asked for, and this host can't");
    expect(error.message).toContain(cause);
    expect(error.hint).toContain('OPENCOMPUTER_ACCEL=auto');
    await expectNothingLeft();
  });

  test('does not take a kept refusal for an answer', async () => {
    expect((await probeWith(await fakeQemu(hangs))).accelerator).toBe('tcg');
    const found = await probeWith(await fakeQemu(boots), { setting: 'kvm', deadlineMs: 10_000 });
    expect(found).toMatchObject({ accelerator: 'kvm', cached: false });
  });
});

describe('the kept answer', () => {
  const patient = { deadlineMs: 10_000 };
  const cacheFile = (): string => join(directory, 'state', 'acceleration.json');

  test('spares the next probe, whichever it is', async () => {
    for (const [behaviour, deadlineMs] of [
      [bootsWithoutArchCapabilities, 10_000],
      [hangs, 700],
    ] as const) {
      await rm(cacheFile(), { force: true });
      const qemu = await fakeQemu(behaviour);
      const first = await probeWith(qemu, { deadlineMs });
      const startedBefore = (await starts()).length;
      expect(await probeWith(qemu, { deadlineMs })).toEqual({ ...first, cached: true });
      expect(await starts()).toHaveLength(startedBefore);
    }
    expect(await readdir(join(directory, 'state'))).toEqual(['acceleration.json']);
    expect((await stat(cacheFile())).mode & 0o777).toBe(0o600);
  });

  test('does not decide on the model for emulation', async () => {
    const qemu = await fakeQemu(hangs);
    await probeWith(qemu, { deadlineMs: 700 });
    const kept = await readFile(cacheFile(), 'utf8');
    await writeFile(cacheFile(), kept.replace('max,-erms,-fsrm', 'max'));
    expect(await probeWith(qemu, { deadlineMs: 700 })).toMatchObject({
      cached: true,
      cpuModel: 'max,-erms,-fsrm',
    });
  });

  test('falls with another QEMU and with another kernel', async () => {
    await probeWith(await fakeQemu(boots, '7.2.22'), patient);
    const newer = await fakeQemu(boots, '8.2.0');
    expect((await probeWith(newer, patient)).cached).toBe(false);
    expect((await probeWith(newer, patient)).cached).toBe(true);
    await writeFile(join(directory, 'kernel'), 'another kernel');
    expect((await probeWith(newer, patient)).cached).toBe(false);
  });

  test('falls when it was a refusal and there is more time now', async () => {
    const qemu = await fakeQemu(`sleep 0.6; ${boots}`);
    expect((await probeWith(qemu, { deadlineMs: 200 })).accelerator).toBe('tcg');
    expect((await probeWith(qemu, { deadlineMs: 100 })).cached).toBe(true);
    expect(await probeWith(qemu, patient)).toMatchObject({ accelerator: 'kvm', cached: false });
  });

  test('is not made of an abort, which is quick to see again', async () => {
    await probeWith(await fakeQemu(aborts), patient);
    expect((await probeWith(await fakeQemu(boots), patient)).accelerator).toBe('kvm');
  });

  test.each([
    ['cut off', '{"format":1,"key":{'],
    ['empty', ''],
    ['of another form', '{"format":2}'],
    ['with an unknown accelerator', '{"format":1,"answer":{"accelerator":"magic"}}'],
  ])('is ignored and written anew when it is %s', async (_name, content) => {
    const qemu = await fakeQemu(boots);
    await probeWith(qemu, patient);
    await writeFile(cacheFile(), content);
    expect((await probeWith(qemu, patient)).cached).toBe(false);
    expect((await probeWith(qemu, patient)).cached).toBe(true);
  });

  test('may be impossible to write: the probe counts all the same', async () => {
    const occupied = join(directory, 'kernel', 'below-a-file.json');
    const found = await probeWith(await fakeQemu(boots), { ...patient, cacheFile: occupied });
    expect(found.accelerator).toBe('kvm');
  });
});

test.skipIf(process.getuid?.() !== 0)(
  'the probe is confined like a machine: a device that only root opens, or a group, is one that machines open',
  async () => {
    const jailer = await testJailer();
    directory = await jailableDirectory();
    await chmod(directory, 0o755);
    await writeFile(join(directory, 'kernel'), 'a kernel');
    const device = join(directory, 'kvm');
    // The device numbers of /dev/zero, since not every host has KVM.
    await promisify(execFile)('mknod', [device, 'c', '1', '5']);
    for (const mode of [0o600, 0o660]) {
      await chmod(device, mode);
      const opens = `[ "$(id -u)" = ${probeUid} ] || exit 1; exec 3<>/dev/kvm || exit 2; [ -e kernel ] || exit 3; ${boots}`;
      const cacheFile = join(directory, `answer-${mode}.json`);
      const probe = { jailer, kvmDevice: device, deadlineMs: 10_000, cacheFile };
      expect(await probeWith(await fakeQemu(opens), probe)).toMatchObject({ accelerator: 'kvm' });
      // An answer that was found with all rights of root is not valid for machines.
      expect(await probeWith(await fakeQemu(aborts), { ...probe, jailer: undefined })).toMatchObject({
        accelerator: 'tcg',
        cached: false,
      });
    }
    const refused = await probeWith(await fakeQemu('exec 3<>/dev/vda || exit 1'), {
      jailer,
      kvmDevice: device,
    });
    expect(refused).toMatchObject({ accelerator: 'tcg' });
  },
);

test('a worker that is killed in mid-probe leaves no machine behind', async () => {
  const jailer = await testJailer();
  directory = await jailableDirectory();
  await chmod(directory, 0o755);
  await writeFile(join(directory, 'kernel'), 'a kernel');
  const qemu = await fakeQemu(hangs);
  const script = `
    const { probeAcceleration } = await import(${JSON.stringify(new URL('acceleration.ts', import.meta.url).href)});
    const log = { info() {}, warn() {} };
    await probeAcceleration({ setting: 'auto', jailer: ${JSON.stringify(jailer)}, qemu: ${JSON.stringify(qemu)}, kernel: ${JSON.stringify(join(directory, 'kernel'))},
      cacheFile: ${JSON.stringify(join(directory, 'cache'))}, deadlineMs: 60_000, log, kvmDevice: '/dev/null' });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  // In its jail it cannot record anything.
  const machines = async (): Promise<number[]> =>
    (await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')).trim().split(' ').map(Number);
  await expect
    .poll(
      async () => {
        const [pid = 0] = await machines();
        return pid === 0 ? '' : readlink(`/proc/${pid}/exe`);
      },
      { timeout: 10_000 },
    )
    .toMatch(/sleep$/);
  const [machine = 0] = await machines();
  if (process.getuid?.() === 0) expect((await stat(`/proc/${machine}`)).uid).toBe(probeUid);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  await expect.poll(() => processIdentity(machine), { timeout: 10_000 }).toBeUndefined();
  const remains = async (): Promise<string[]> =>
    (await readdir(dirname(directory))).filter((name) => name.startsWith(`.probe-${child.pid}-`));
  expect(await remains()).toHaveLength(1);
  await probeWith(await fakeQemu(aborts));
  expect(await remains()).toEqual([]);
});
