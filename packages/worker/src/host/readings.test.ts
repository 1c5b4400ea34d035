import { expect, test } from 'vitest';
import { parseMemoryInfo, readDiskFreeMB, readHost, readMemory } from './readings.ts';

test('meminfo is read by name, in any order', () => {
  const text =
    'MemFree: 1 kB\nMemAvailable:    524288 kB\nHugePages_Total:       0\nMemTotal:       1048576 kB\n';
  expect(parseMemoryInfo(text)).toEqual({ totalMB: 1024, availableMB: 512 });
});

test.each([
  'MemTotal: 5 kB\n',
  'MemTotal: 5 kB\nMemAvailable: many kB\n',
  'xMemAvailable: 1 kB\nMemTotal: 2 kB',
])('meminfo without the two lines is an error: %j', (text) => {
  expect(() => parseMemoryInfo(text)).toThrow('/proc/meminfo has no line MemAvailable in kB');
});

test('this host has memory and disk', async () => {
  const memory = await readMemory();
  expect(memory.availableMB).toBeGreaterThan(0);
  expect(memory.totalMB).toBeGreaterThan(memory.availableMB);
  const host = await readHost('/');
  expect(host.memoryTotalMB).toBe(memory.totalMB);
  expect(host.diskFreeMB).toBeGreaterThan(0);
});

test('a directory that does not exist has no readings', async () => {
  await expect(readDiskFreeMB('/nonexistent/directory')).rejects.toThrow('ENOENT');
});
