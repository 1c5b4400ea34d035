import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { sharedCacheDir } from './platform.ts';

const execute = promisify(execFile);

/** A small file system of its own, in a file, so that it can be filled without harm to the host. */
export class DiskImage {
  readonly directory: string;
  readonly #image: string;

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

  async unmount(): Promise<void> {
    await execute('umount', [this.directory]);
    await rm(this.directory, { recursive: true, force: true });
    await rm(this.#image, { force: true });
  }
}
