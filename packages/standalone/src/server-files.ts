import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_CREAT } = constants;

/**
 * Makes what the server's user owns in the data directory, which is root's: the server's directory, and the file of the
 * first key. Later starts find that the directory belongs to that user, and leave it alone with everything in it: the
 * user may have put links there, which root must not follow.
 * @throws Error when the directory belongs to a third user, or contains files that no server has made
 */
export async function prepareServerFiles(dataDir: string, user: number): Promise<void> {
  const directory = join(dataDir, 'server');
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  await giveDirectory(directory, user);
  await using keyFile = await open(
    join(dataDir, 'api-key'),
    O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
    0o600,
  );
  await giveFile(keyFile, join(dataDir, 'api-key'), user);
}

async function giveDirectory(path: string, user: number): Promise<void> {
  const { uid } = await lstat(path);
  if (uid === user) return;
  await using directory = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  const found = await directory.stat();
  if (found.uid !== 0)
    throw new Error(
      `${path} belongs to user ${found.uid}; the server runs as ${user}: move it away, or give it to that user`,
    );
  // As long as only root can use it, nobody else can have put anything there, or do so now.
  await directory.chmod(0o700);
  for (const name of await readdir(path)) {
    const inside = join(path, name);
    await using file = await open(inside, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    await giveFile(file, inside, user);
  }
  await directory.chown(user, user);
}

/**
 * Gives a file of root to the server's user. @throws Error when it is not a regular file, has a second name, or belongs
 * to a third user
 */
async function giveFile(file: FileHandle, path: string, user: number): Promise<void> {
  const found = await file.stat();
  if (found.uid === user) return;
  if (!found.isFile() || found.nlink !== 1 || found.uid !== 0)
    throw new Error(`${path} is no file that a server has made; move it away`);
  await file.chown(user, user);
}
