import { execFile } from 'node:child_process';
import { type FileHandle, mkdir, mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { sharedCacheDir } from './platform.ts';

const execute = promisify(execFile);

const block = Buffer.alloc(4096, 'full');

/** Writes blocks from a position on until there is no space. @returns where it ended */
async function writeToTheEnd(file: FileHandle, position: number): Promise<number> {
  for (let at = position; ; at += block.length)
    try {
      await file.write(block, 0, block.length, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      return at;
    }
}

/** A small file system of its own, in a file, so that it can be filled without harm to the host. */
export class DiskImage {
  readonly directory: string;
  readonly #image: string;
  readonly #fillers: string[] = [];

  private constructor(directory: string, image: string) {
    this.directory = directory;
    this.#image = image;
  }

  /** Makes and mounts one of `megabytes` MiB; the host gives space only for what is written. */
  static async mount(megabytes: number): Promise<DiskImage> {
    const parent = join(dirname(sharedCacheDir), 'test');
    await mkdir(parent, { recursive: true });
    const directory = await mkdtemp(join(parent, 'd-'));
    const image = `${directory}.ext4`;
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rm(image, { force: true }));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const file = await open(image, 'wx');
    await file.truncate(megabytes * 1024 * 1024);
    await file.close();
    await execute('mkfs.ext4', ['-q', '-m', '0', image]);
    await execute('mount', ['-o', 'loop', image, directory]);
    stack.move();
    return new DiskImage(directory, image);
  }

  get #filler(): string {
    const path = join(this.directory, `filler-${this.#fillers.length}`);
    this.#fillers.push(path);
    return path;
  }

  /** Takes space until `leaveBytes` are free. */
  async fill(leaveBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.directory);
    const take = bavail * bsize - leaveBytes;
    if (take > 0) await execute('fallocate', ['-l', String(take), this.#filler]);
  }

  /** Takes all of it, to the last block; then gives `leaveBytes` back. */
  async fillWholly(leaveBytes = 0): Promise<void> {
    await this.fill(leaveBytes + 16 * 1024 * 1024);
    const file = await open(this.#filler, 'wx');
    try {
      let size = 0;
      // What the file system holds back for its own use may be given free when it has written.
      for (let before = -1; before < size;) {
        before = size;
        size = await writeToTheEnd(file, size);
        await file.sync();
      }
      if (leaveBytes > 0) await file.truncate(Math.max(0, size - leaveBytes));
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** Gives back all that was taken. */
  async free(): Promise<void> {
    for (const path of this.#fillers.splice(0)) await rm(path, { force: true });
  }

  async unmount(): Promise<void> {
    await execute('umount', [this.directory]);
    await rm(this.directory, { recursive: true, force: true });
    await rm(this.#image, { force: true });
  }
}
