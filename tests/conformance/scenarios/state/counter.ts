import { expect } from 'vitest';
import type { SandboxHandle } from '../../clients/client.ts';

const script =
  'n=0; while :; do n=$((n+1)); echo $$ $n > /dev/shm/count.new; mv /dev/shm/count.new /dev/shm/count; sleep 0.2; done';

/** What a counter process has written last, into memory alone. */
export interface Count {
  process: number;
  count: number;
}

/** Starts a process in the background that counts for as long as it lives. */
export async function startCounter(sandbox: SandboxHandle): Promise<Count> {
  expect((await sandbox.exec.run(`nohup sh -c '${script}' >/dev/null 2>&1 &`)).exitCode).toBe(0);
  await expect.poll(() => sandbox.files.exists('/dev/shm/count'), { timeout: 240_000 }).toBe(true);
  return readCounter(sandbox);
}

export async function readCounter(sandbox: SandboxHandle): Promise<Count> {
  return parseCount((await sandbox.exec.run('cat /dev/shm/count')).stdout);
}

function parseCount(stdout: string): Count {
  const [process = Number.NaN, count = Number.NaN] = stdout.trim().split(' ').map(Number);
  return { process, count };
}

/** Expects that the very process lives, has forgotten nothing, and goes on. */
export async function goesOn(sandbox: SandboxHandle, before: Count): Promise<Count> {
  const looked = await sandbox.exec.run(`cat /dev/shm/count; kill -0 ${before.process}`);
  const now = parseCount(looked.stdout);
  expect(now.process).toBe(before.process);
  expect(now.count).toBeGreaterThanOrEqual(before.count);
  expect(looked.exitCode).toBe(0);
  await expect
    .poll(async () => (await readCounter(sandbox)).count, { timeout: 240_000 })
    .toBeGreaterThan(now.count);
  return now;
}
