import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { defaultCapacity } from '../host/admission.ts';
import { HostError } from '../host/errors.ts';
import { probePageMap } from '../host/page-map.ts';
import { runCheck } from './checks.ts';
import type { Check, DoctorConfig } from './checks.ts';
import { exitCode, runDoctor } from './doctor.ts';
import { sandboxesThatFit } from './resource-checks.ts';
import { judgeClock } from './system-checks.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'doctor-test-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const goodNetwork: Check = { id: 'n', title: 'N', status: 'ok', found: 'namespaces' };

function config(changes: Partial<DoctorConfig> = {}): DoctorConfig {
  return {
    dataDirectory: directory,
    cacheDirectory: join(directory, 'cache'),
    listen: { host: '127.0.0.1', port: 0 },
    acceleration: 'tcg',
    accelerationDeadlineMs: 1000,
    accelerationCacheFile: join(directory, 'acceleration.json'),
    capacity: defaultCapacity,
    defaultMemoryMB: 512,
    findImage: async () => ({}),
    describeNetwork: async () => goodNetwork,
    ...changes,
  };
}

async function checkOf(id: string, changes: Partial<DoctorConfig> = {}): Promise<Check> {
  const check = (await runDoctor(config(changes))).find((candidate) => candidate.id === id);
  if (check === undefined) throw new Error(`the doctor has no check ${id}`);
  return check;
}

async function program(name: string, script: string): Promise<void> {
  await writeFile(join(directory, name), `#!/bin/sh\n${script}\n`);
  await chmod(join(directory, name), 0o755);
}

test('looks at everything once, each with an id of its own, and leaves nothing behind', async () => {
  const checks = await runDoctor(config());
  const ids = checks.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toEqual(
    expect.arrayContaining([
      'node',
      'qemu',
      'qemu-img',
      'acceleration',
      'image',
      'network',
      'user',
      'listen',
      'clock',
    ]),
  );
  expect(ids).toEqual(
    expect.arrayContaining(['cgroups', 'tun', 'page-map', 'memory', 'disk', 'file-system', 'data-directory']),
  );
  for (const { status, why, fix, title, id } of checks) {
    expect(
      status === 'ok' || why !== undefined || fix !== undefined,
      `${title} (${id}) says why or what to do`,
    ).toBe(true);
  }
  expect(await readdir(directory)).toEqual([]);
});

test('a check that throws has failed, the others go on', async () => {
  const failing = () => Promise.reject(new HostError('no nftables', 'Install nftables.'));
  const checks = await runDoctor(config({ describeNetwork: failing }));
  expect(checks.find(({ id }) => id === 'network')).toEqual({
    id: 'network',
    title: 'Network',
    status: 'fail',
    found: 'no nftables',
    fix: 'Install nftables.',
  });
  expect(checks.find(({ id }) => id === 'node')?.status).toBe('ok');
  expect(exitCode(checks)).toBe(1);
});

test('a check that never ends has failed', async () => {
  vi.useFakeTimers();
  try {
    const run = runCheck({ id: 'x', title: 'X', run: () => new Promise<never>(() => undefined) }, config());
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await run).toEqual({ id: 'x', title: 'X', status: 'fail', found: 'no answer within 60 s' });
  } finally {
    vi.useRealTimers();
  }
});

test('the exit status is 1 only if something failed', () => {
  expect(exitCode([goodNetwork, { ...goodNetwork, status: 'warn' }])).toBe(0);
  expect(exitCode([goodNetwork, { ...goodNetwork, status: 'fail' }])).toBe(1);
});

test('QEMU: missing, too old, fit', async () => {
  const qemu = { override: directory, searchPath: '' };
  expect(await checkOf('qemu', { qemu })).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining('OPENCOMPUTER_QEMU'),
  });
  expect(await checkOf('qemu-img', { qemu })).toMatchObject({
    status: 'fail',
    found: expect.stringContaining('qemu-img was not found'),
  });
  await program('qemu-system-x86_64', 'echo QEMU emulator version 6.2.0');
  expect(await checkOf('qemu', { qemu })).toMatchObject({
    status: 'fail',
    found: expect.stringContaining('6.2.0'),
  });
  await program('qemu-system-x86_64', 'echo QEMU emulator version 9.2.0');
  await program('qemu-img', 'echo qemu-img version 9.2.0');
  const found = `9.2.0, ${directory}/qemu-system-x86_64`;
  expect(await checkOf('qemu', { qemu })).toEqual({ id: 'qemu', title: 'QEMU', status: 'ok', found });
  expect(await checkOf('qemu-img', { qemu })).toMatchObject({ status: 'ok' });
});

test('emulation is a warning that it does not isolate', async () => {
  await program('qemu-system-x86_64', 'echo QEMU emulator version 9.2.0');
  const qemu = { override: directory };
  expect(await checkOf('acceleration', { qemu })).toMatchObject({
    status: 'warn',
    found: 'emulated: not an isolation boundary',
  });
  expect(await checkOf('acceleration', { qemu, acceleration: 'auto' })).toMatchObject({
    status: 'warn',
    found: 'not known yet',
    fix: expect.stringContaining('Build the image'),
  });
});

test('the image: what is missing is named', async () => {
  expect(await checkOf('image')).toMatchObject({
    status: 'warn',
    found: 'not built: kernel, root file system',
  });
  const findImage = async () => ({ kernel: '/k', rootFileSystem: '/r' });
  expect(await checkOf('image', { findImage })).toMatchObject({ status: 'ok', found: '/r, kernel /k' });
});

test('the listen address: free, in use, not of this host', async () => {
  expect(await checkOf('listen')).toMatchObject({ status: 'ok' });
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    expect(await checkOf('listen', { listen: { host: '127.0.0.1', port } })).toMatchObject({
      status: 'warn',
      found: `127.0.0.1:${port} is in use`,
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  expect(await checkOf('listen', { listen: { host: '192.0.2.1', port: 0 } })).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining('OPENCOMPUTER_LISTEN'),
  });
});

test('a data directory whose sockets would have too long a path', async () => {
  expect(await checkOf('data-directory', { dataDirectory: `/${'d'.repeat(59)}` })).toMatchObject({
    status: 'ok',
  });
  expect(await checkOf('data-directory', { dataDirectory: `/${'d'.repeat(60)}` })).toMatchObject({
    status: 'fail',
  });
  expect(await checkOf('data-directory', { dataDirectory: `/${'ü'.repeat(30)}` })).toMatchObject({
    status: 'fail',
  });
});

test('disk: of a directory that is yet to be made, its parent counts', async () => {
  const dataDirectory = join(directory, 'not', 'yet');
  expect(await checkOf('disk', { dataDirectory })).toMatchObject({
    found: expect.stringContaining('free on'),
  });
  expect(await checkOf('file-system', { dataDirectory })).toMatchObject({ status: 'ok' });
  expect(await readdir(directory)).toEqual([]);
});

test('disk: less free than must stay free is a failure', async () => {
  const capacity = { ...defaultCapacity, minFreeDiskMB: 2 ** 40 };
  expect(await checkOf('disk', { capacity })).toMatchObject({
    status: 'fail',
    fix: expect.stringContaining('OPENCOMPUTER_DATA_DIR'),
  });
});

test('disk: a file where the data directory should be is a failure', async () => {
  await writeFile(join(directory, 'file'), '');
  const dataDirectory = join(directory, 'file');
  expect(await checkOf('disk', { dataDirectory })).toMatchObject({
    status: 'fail',
    found: `${dataDirectory} is no directory`,
  });
});

test('memory: as many sandboxes as admission would let in', () => {
  const readings = { totalMB: 10_000, availableMB: 8000 };
  expect(sandboxesThatFit(readings, defaultCapacity, 512)).toBe(39);
  expect(sandboxesThatFit(readings, { ...defaultCapacity, memoryOvercommit: 1 }, 512)).toBe(19);
  expect(sandboxesThatFit(readings, { ...defaultCapacity, maxMachines: 5 }, 512)).toBe(5);
  expect(sandboxesThatFit({ ...readings, availableMB: 100 }, defaultCapacity, 512)).toBe(0);
});

test('memory: where not one fits, that is a failure', async () => {
  expect(await checkOf('memory', { defaultMemoryMB: 2 ** 40 })).toMatchObject({ status: 'fail' });
});

test('the clock: plausible, out of the question, behind the last write', () => {
  const now = Date.UTC(2026, 6, 1);
  expect(judgeClock(now, now - 1000)).toEqual({ status: 'ok', found: '2026-07-01T00:00:00.000Z' });
  expect(judgeClock(now, undefined)).toMatchObject({ status: 'ok' });
  expect(judgeClock(0, undefined)).toMatchObject({ status: 'fail' });
  expect(judgeClock(Date.UTC(2101, 0, 1), undefined)).toMatchObject({ status: 'fail' });
  expect(judgeClock(now, now + 3_600_000)).toMatchObject({
    status: 'warn',
    why: expect.stringContaining('01:00:00'),
  });
});

test('the page map of an own child is readable here, or the reason is said', async () => {
  const problem = await probePageMap();
  if (process.getuid?.() === 0) expect(problem).toBeUndefined();
  else expect(problem ?? '/proc/').toContain('/proc/');
});
