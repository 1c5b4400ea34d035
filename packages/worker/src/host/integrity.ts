import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { computeChecksumsOf, digestOf } from './checksums.ts';
import { systemErrorCode } from './errors.ts';
import { NotOurFile, withUntrusted } from './untrusted-file.ts';

/** Form of a digest: size in bytes, then a hash of the checksums. */
export const digestPattern = /^\d{1,16}-[0-9a-f]{32}$/;

/** For how long a file that was written or verified, and has not changed since, counts as undamaged. */
const trustMs = 3600_000;
const knownMax = 10_000;

/** The content of a file is not what was written. */
export class FileDamaged extends Error {
  override readonly name = 'FileDamaged';
}

interface Known {
  digest: string;
  at: number;
}

/**
 * Verifies that files are as they were saved. Reading a file takes time, so a file that this process has lately written
 * or verified counts as undamaged while its size and the time of its last change are the same.
 */
export class Integrity {
  readonly #qemuImg: string;
  readonly #known = new Map<string, Known>();
  readonly #reading = new Map<string, Promise<string>>();
  /** The damage found in the background. */
  readonly #damaged = new Map<string, FileDamaged>();
  readonly #now: () => number;

  /** @param qemuImg path of qemu-img, which finds the holes of files */
  constructor(qemuImg: string, now = () => performance.now()) {
    this.#qemuImg = qemuImg;
    this.#now = now;
  }

  /** Reads a file that was just written. @returns the digest to verify it with later */
  async digest(path: string): Promise<string> {
    const key = await keyOf(path);
    const digest = await this.#read(path, key);
    this.#remember(key, digest);
    return digest;
  }

  /** Records the digest of a file that was just written, where it is known without reading the file. */
  async trust(path: string, digest: string): Promise<void> {
    this.#remember(await keyOf(path), digest);
  }

  /** @throws FileDamaged when the file is missing, cut off, cannot be read, or holds something else */
  async verify(path: string, digest: string): Promise<void> {
    const key = await this.#keyOf(path);
    const known = this.#known.get(key);
    if (known?.digest === digest && this.#now() - known.at < trustMs) return;
    this.#known.delete(key);
    const actual = await this.#readDamaged(path, key);
    if (actual !== digest) throw damaged(path, digest, actual);
    this.#remember(key, digest);
  }

  /**
   * Verifies a large file in the background, while it is used already. If it is damaged, it is refused from then on.
   * @param found called when damage is found
   * @throws FileDamaged when damage was found before
   */
  async verifyLater(path: string, digest: string, found: (damage: FileDamaged) => void): Promise<void> {
    const key = await this.#keyOf(path);
    const damage = this.#damaged.get(key);
    if (damage !== undefined) throw damage;
    if (this.#known.get(key)?.digest === digest || this.#reading.has(key)) return;
    this.#read(path, key).then(
      (actual) => {
        if (actual === digest) return this.#remember(key, digest);
        const error = damaged(path, digest, actual);
        this.#damaged.set(key, error);
        found(error);
      },
      (error: Error) => found(new FileDamaged(error.message, { cause: error })),
    );
  }

  async #keyOf(path: string): Promise<string> {
    try {
      return await keyOf(path);
    } catch (error) {
      if (error instanceof NotOurFile) throw new FileDamaged(error.message, { cause: error });
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      throw new FileDamaged(`the file ${basename(path)} is missing`, { cause: error });
    }
  }

  async #readDamaged(path: string, key: string): Promise<string> {
    try {
      return await this.#read(path, key);
    } catch (error) {
      // The errors of disks, and of file systems with their own checksums, for damaged data.
      if (systemErrorCode(error) !== 'EIO') throw error;
      throw new FileDamaged(`the file ${basename(path)} cannot be read`, { cause: error });
    }
  }

  /** Simultaneous callers share one reading. */
  #read(path: string, key: string): Promise<string> {
    let reading = this.#reading.get(key);
    if (reading === undefined) {
      reading = this.#digest(path).finally(() => this.#reading.delete(key));
      this.#reading.set(key, reading);
    }
    return reading;
  }

  async #digest(path: string): Promise<string> {
    return withUntrusted(path, {}, async (file) => {
      const checksums = await computeChecksumsOf(file, this.#qemuImg);
      return digestOf(checksums, (await file.stat()).size);
    });
  }

  #remember(key: string, digest: string): void {
    this.#known.delete(key);
    this.#known.set(key, { digest, at: this.#now() });
    const [oldest] = this.#known.keys();
    if (this.#known.size > knownMax && oldest !== undefined) this.#known.delete(oldest);
  }
}

/** Identifies the current content of a file, whichever of its names is used. */
function keyOf(path: string): Promise<string> {
  return withUntrusted(path, {}, async (file: FileHandle) => {
    const { dev, ino, size, mtimeNs } = await file.stat({ bigint: true });
    return [dev, ino, size, mtimeNs].join(':');
  });
}

function damaged(path: string, expected: string, actual: string): FileDamaged {
  const [size] = expected.split('-');
  const [actualSize] = actual.split('-');
  const how =
    size === actualSize
      ? 'its bytes are not those that were written'
      : `it has ${actualSize} bytes instead of ${size}`;
  return new FileDamaged(`the file ${basename(path)} is damaged: ${how}`);
}
