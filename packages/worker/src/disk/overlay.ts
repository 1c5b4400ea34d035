import { execFile } from 'node:child_process';
import { constants, copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { syncFile } from '../host/atomic-file.ts';
import { withUntrusted } from '../host/untrusted-file.ts';

const execute = promisify(execFile);

/** Prefix of the names of overlays that are being made. */
export const overlayStaging = '.overlay-';

/**
 * Empty overlays to copy from. An overlay names no backing file (QEMU is told the chain on its command line), so
 * every overlay of one size begins as the same 200 KB: a copy is faster than a process that would make them.
 */
export class OverlayStock {
  readonly #directory: string;
  readonly #qemuImg: string;
  readonly #making = new Map<number, Promise<string>>();

  constructor(directory: string, qemuImg: string) {
    this.#directory = directory;
    this.#qemuImg = qemuImg;
  }

  /**
   * Creates an empty qcow2 overlay of `diskMB` MiB at `target`, replacing any file there. It gets its name when it is
   * complete and only its owner can use it.
   * @param staging a directory of ours on the same file system; after a crash it may hold a file whose name
   *   begins with `overlayStaging`
   * @param uid its owner; undefined: our own user
   */
  async create(
    target: string,
    staging: string,
    { diskMB, uid }: { diskMB: number; uid: number | undefined },
  ): Promise<void> {
    const temporary = join(staging, overlayStaging + randomBytes(8).toString('hex'));
    try {
      await copyFile(await this.#blank(diskMB), temporary, constants.COPYFILE_EXCL);
      await withUntrusted(temporary, { links: 1 }, async (file) => {
        await file.chmod(0o600);
        if (uid !== undefined) await file.chown(uid, uid);
      });
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  #blank(diskMB: number): Promise<string> {
    let blank = this.#making.get(diskMB);
    if (blank === undefined) {
      blank = this.#make(diskMB).catch((error: unknown) => {
        this.#making.delete(diskMB);
        throw error;
      });
      this.#making.set(diskMB, blank);
    }
    return blank;
  }

  async #make(diskMB: number): Promise<string> {
    const path = join(this.#directory, `blank-${diskMB}.qcow2`);
    if (existsSync(path)) return path;
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}.tmp`;
    // 64 KiB clusters and lazy refcounts are the format's defaults where it matters: see qemu-img(1).
    await execute(
      this.#qemuImg,
      ['create', '-q', '-f', 'qcow2', '-o', 'compat=1.1', temporary, `${diskMB}M`],
      {
        timeout: 30_000,
      },
    );
    // An empty file with this name would be copied again and again.
    await syncFile(temporary);
    await rename(temporary, path);
    return path;
  }
}
