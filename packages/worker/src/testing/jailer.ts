import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { onTestFinished } from 'vitest';
import { ensureJailer } from '@opencomputer/images/jailer';

/** Builds the program that starts QEMU, unless it is there. @returns its path */
export async function testJailer(): Promise<string> {
  const cache = join(tmpdir(), 'opencomputer-test-cache');
  await mkdir(cache, { recursive: true });
  const log = createWriteStream(join(cache, 'jailer.log'), { flags: 'a' });
  try {
    return await ensureJailer(cache, log);
  } finally {
    log.end();
    await finished(log);
  }
}

/** A directory for what runs in a jail, which shows nothing of /tmp. It is removed when the test ends. */
export async function jailableDirectory(): Promise<string> {
  const directory = await mkdtemp('/var/lib/opencomputer-test-');
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
