import { execFile } from 'node:child_process';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const module = join(import.meta.dirname, 'doctor.ts');

/** Runs the doctor on a data directory of its own. Its exit code says how fit the host is, which is not asked here. */
async function doctor(settings: Readonly<Record<string, string>>) {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'doctor-'));
  const env = { ...process.env, OPENCOMPUTER_DATA_DIR: directory.path, ...settings };
  return promisify(execFile)(process.execPath, [module, '--json'], { env }).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
}

test('counts what fits by the rules of the worker', async () => {
  const { stdout } = await doctor({ OPENCOMPUTER_MAX_MACHINES: '1' });
  const { checks } = JSON.parse(stdout) as { checks: { id: string; found: string }[] };
  expect(checks.find(({ id }) => id === 'memory')?.found).toMatch(/; [01] sandboxes of 1024 MB fit$/);
});

test.each([
  ['OPENCOMPUTER_ACCEL', 'xen'],
  ['OPENCOMPUTER_MIN_FREE_DISK_MB', 'little'],
  ['OPENCOMPUTER_LISTEN', '8080'],
])('refuses %s=%s as the platform does', async (name, value) => {
  const { stdout, stderr } = await doctor({ [name]: value });
  expect(stdout).toBe('');
  expect(stderr).toMatch(new RegExp(`^doctor: configuration: ${name}: `));
});
