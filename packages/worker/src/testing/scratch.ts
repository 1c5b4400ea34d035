import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@opencomputer/testing/eventually';
import { onTestFinished } from 'vitest';

/** A directory of the running test; it is removed with all in it when the test ends, however it ends. */
export async function scratchDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'opencomputer-test-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The error that a promise is rejected with. @throws Error when it is fulfilled */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const value = await promise.then(
    (fulfilled) => ({ fulfilled }),
    (error: unknown) => error,
  );
  if (value instanceof Error) return value;
  throw new Error(`a failure was due, and it succeeded: ${JSON.stringify(value)}`);
}

/** Waits for a condition that another process or connection brings about. @throws Error after a minute */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  await eventually(String(condition), condition, { withinMs: 60_000 });
}
