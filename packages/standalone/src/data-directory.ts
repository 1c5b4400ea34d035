import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes the data directory. Where the server has another user than we have, that user may pass through it to reach the
 * worker's socket. The directories in it have their own permissions.
 * @throws Error when a directory above it is closed to the server's user
 */
export async function prepareDataDirectory(dataDir: string, serverUser: number | undefined): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  if (serverUser === undefined) return;
  const { mode } = await stat(dataDir);
  if ((mode & 0o001) === 0) await chmod(dataDir, (mode & 0o7777) | 0o011);
  for (let above = dirname(dataDir); above !== '/'; above = dirname(above)) {
    if (((await stat(above)).mode & 0o001) === 0)
      throw new Error(
        `the server runs as user ${serverUser}, who may not pass through ${above}; run "chmod o+x ${above}", or set OPENCOMPUTER_DATA_DIR to a directory elsewhere`,
      );
  }
}
