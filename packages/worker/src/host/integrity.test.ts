import { chmod, link, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { scratchDirectory, until } from '../testing/scratch.ts';
import { FileDamaged, Integrity } from './integrity.ts';

const hourMs = 3600_000;
let now: number;
let integrity: Integrity;
let path: string;
let digest: string;
/** As seen by a process that has not written the file. */
let later: Integrity;

beforeEach(async () => {
  now = 0;
  integrity = new Integrity('qemu-img', () => now);
  later = new Integrity('qemu-img', () => now);
  path = join(await scratchDirectory(), 'layer');
  await writeFile(path, 'what was written');
  digest = await integrity.digest(path);
});

const sameLength = 'what was wriTten';

/** Changes the content but neither size nor time. */
async function rot(): Promise<void> {
  await utimes(path, 1000, 1000);
  digest = await integrity.digest(path);
  await later.verify(path, digest);
  await writeFile(path, sameLength);
  await utimes(path, 1000, 1000);
}

describe('a file', () => {
  test('that is what it was is whole, under any name and with any permissions', async () => {
    await integrity.verify(path, digest);
    await later.verify(path, digest);
    await link(path, `${path}-2`);
    await chmod(path, 0o444);
    await later.verify(`${path}-2`, digest);
  });

  test.each([
    ['changed', () => writeFile(path, sameLength), 'the file layer is damaged: its bytes are not'],
    ['cut off', () => truncate(path, 10), 'the file layer is damaged: it has 10 bytes instead of 16'],
    ['longer', () => truncate(path, 17), 'it has 17 bytes instead of 16'],
    ['missing', () => rm(path), 'the file layer is missing'],
  ])('that is %s is found, also by who has written it', async (_name, harm, message) => {
    await harm();
    for (const each of [integrity, later]) {
      const error = await each.verify(path, digest).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(FileDamaged);
      expect((error as Error).message).toContain(message);
    }
  });

  test('that is whole again is used again', async () => {
    await writeFile(path, sameLength);
    await expect(later.verify(path, digest)).rejects.toThrow('damaged');
    await writeFile(path, 'what was written');
    await later.verify(path, digest);
  });

  test('that was verified is not read again for an hour', async () => {
    await rot();
    now = hourMs - 1;
    await later.verify(path, digest);
    now = hourMs + 1;
    await expect(later.verify(path, digest)).rejects.toThrow('damaged');
  });

  test('whose digest is known is not read', async () => {
    await later.trust(path, digest);
    await later.verify(path, digest);
    await expect(later.verify(path, `16-${'0'.repeat(32)}`)).rejects.toThrow('damaged');
  });
});

describe('a large file that is verified while it is used', () => {
  test('is refused once damage was found', async () => {
    await writeFile(path, sameLength);
    const found = vi.fn();
    await later.verifyLater(path, digest, found);
    await until(() => found.mock.calls.length === 1);
    expect(found.mock.calls[0]?.[0]).toBeInstanceOf(FileDamaged);
    await expect(later.verifyLater(path, digest, found)).rejects.toThrow('damaged');
    expect(found).toHaveBeenCalledTimes(1);
  });

  test('is read once where it is whole', async () => {
    const found = vi.fn();
    for (let times = 0; times < 3; times++) await later.verifyLater(path, digest, found);
    await later.verify(path, digest);
    await later.verifyLater(path, digest, found);
    expect(found).not.toHaveBeenCalled();
  });

  test('that is missing is refused at once', async () => {
    await rm(path);
    await expect(later.verifyLater(path, digest, vi.fn())).rejects.toThrow('is missing');
  });
});
