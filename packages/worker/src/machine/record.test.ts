import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { identityOf } from './identity.ts';
import { type MachineRecord, readRecord, startedAgain, writeRecord } from './record.ts';

const record: MachineRecord = {
  format: 1,
  id: 'sb-01234567',
  spec: {
    template: 'base',
    cpuCount: 1,
    memoryMB: 1024,
    diskMB: 20_480,
    hostname: 'sb-01234567',
    env: { A: '1', ü: 'ß\n' },
  },
  origin: '0'.repeat(32),
  run: 2,
  layers: [
    { file: 'layer-0', format: 'raw' },
    { file: 'disk.qcow2', format: 'qcow2' },
  ],
  top: 'disk-1.qcow2',
  hibernated: false,
  hibernationBytes: 0,
  startedFrom: 'memory',
  machineId: 'f'.repeat(32),
  accelerator: 'tcg',
  slot: 3,
  uid: 300_003,
  ready: true,
  deleting: false,
  startedAt: '2026-01-01T00:00:00.000Z',
  timings: { launch: 30.5 },
};

test('what is written is read, and nothing else is left in the directory', async () => {
  const directory = await scratchDirectory();
  await writeRecord(directory, record);
  await writeRecord(directory, { ...record, deleting: true });
  expect(await readRecord(directory)).toEqual({ ...record, deleting: true });
  expect(await readdir(directory)).toEqual(['machine.json']);
});

test('others on the host cannot read it: it holds the environment', async () => {
  const directory = await scratchDirectory();
  await writeRecord(directory, record);
  expect((await stat(join(directory, 'machine.json'))).mode & 0o077).toBe(0);
});

test('a directory without one has none', async () => {
  expect(await readRecord(await scratchDirectory())).toBeUndefined();
});

test.each([
  ['nothing', ''],
  ['half', JSON.stringify(record).slice(0, 100)],
  ['NULs', '\0'.repeat(50)],
  ['null', 'null'],
  ['an id that climbs', JSON.stringify({ ...record, id: '../sb-01234567' })],
  ['a later format', JSON.stringify({ ...record, format: 2 })],
  ['a disk that climbs', JSON.stringify({ ...record, top: '../disk.qcow2' })],
  ['a layer that is a path', JSON.stringify({ ...record, layers: [{ file: 'a/b', format: 'raw' }] })],
  ['run zero', JSON.stringify({ ...record, run: 0 })],
  ['a negative slot', JSON.stringify({ ...record, slot: -1 })],
  ['root as user below zero', JSON.stringify({ ...record, uid: -1 })],
  ['a machine id that is none', JSON.stringify({ ...record, machineId: 'x' })],
  ['no spec', JSON.stringify({ ...record, spec: undefined })],
  ['ready that is a word', JSON.stringify({ ...record, ready: 'yes' })],
])('%s: damaged, and the file stays for somebody to repair it', async (_name, content) => {
  const directory = await scratchDirectory();
  await writeFile(join(directory, 'machine.json'), content);
  const error = await failureOf(readRecord(directory));
  expect(error.message).toContain(`in ${directory} is damaged`);
  expect(await readFile(join(directory, 'machine.json'), 'utf8')).toBe(content);
});

test('the identity is the record’s, with a clock that runs and entropy that is used once', () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  const [first, second] = [identityOf(record), identityOf(record)];
  const clock = BigInt(first.clockUnixNs ?? '');
  expect(clock - before).toBeGreaterThan(-50_000_000n);
  expect(clock - before).toBeLessThan(5_000_000_000n);
  expect(BigInt(second.clockUnixNs ?? '')).toBeGreaterThanOrEqual(clock);
  expect(Buffer.from(first.entropy ?? '', 'base64')).toHaveLength(64);
  expect(first.entropy).not.toBe(second.entropy);
  expect(first).toMatchObject({ hostname: 'sb-01234567', machineId: 'f'.repeat(32), env: record.spec.env });
});

test('of a machine that starts again nothing is kept that was true of its last start only', () => {
  const process = { pid: 4711, startTime: 1, bootId: 'boot' };
  const hibernated = { ...record, hibernated: true, coldBootReason: 'a crash', process };
  const slot = { index: 7, uid: 300_007 };
  const woken = startedAgain(hibernated, { slot, from: 'memory' });
  expect(woken).toEqual({ ...record, slot: 7, uid: 300_007, startedAt: expect.any(String) });
  expect(Date.parse(woken.startedAt)).toBeGreaterThan(Date.parse(record.startedAt));
  const booted = startedAgain(woken, { slot, from: 'disk', coldBootReason: 'its memory is lost' });
  expect(booted).toMatchObject({ startedFrom: 'disk', coldBootReason: 'its memory is lost' });
});
