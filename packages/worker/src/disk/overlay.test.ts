import { execFile } from 'node:child_process';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { locateQemuImage } from '../host/qemu.ts';
import { scratchDirectory } from '../testing/scratch.ts';
import { OverlayStock } from './overlay.ts';

const execute = promisify(execFile);
const qemuImg = await locateQemuImage();

interface ImageInfo {
  format: string;
  'virtual-size': number;
  'backing-filename'?: string;
}

async function info(image: string): Promise<ImageInfo> {
  const { stdout } = await execute(qemuImg, ['info', '--output=json', image]);
  return JSON.parse(stdout) as ImageInfo;
}

describe('overlays', () => {
  test('are empty images of the size asked for, sound, without a word about what is below', async () => {
    const directory = await scratchDirectory();
    const stock = new OverlayStock(join(directory, 'stock'), qemuImg);
    for (const diskMB of [1, 20_480, 262_144]) {
      const target = join(directory, `disk-${diskMB}`);
      await stock.create(target, directory, { diskMB, uid: undefined });
      const { format, 'virtual-size': size, 'backing-filename': backing } = await info(target);
      expect([format, size, backing]).toEqual(['qcow2', diskMB * 1024 * 1024, undefined]);
      await execute(qemuImg, ['check', '-q', target]);
      expect((await stat(target)).mode & 0o777).toBe(0o600);
      expect((await stat(target)).size).toBeLessThan(1024 * 1024);
    }
  });

  test('work over a layer: what is written stays above, what is not shows through', async () => {
    const directory = await scratchDirectory();
    const base = join(directory, 'base');
    await writeFile(base, Buffer.alloc(1024 * 1024, 'b'));
    const disk = join(directory, 'disk');
    await new OverlayStock(join(directory, 'stock'), qemuImg).create(disk, directory, {
      diskMB: 1,
      uid: undefined,
    });
    const chain = JSON.stringify({
      driver: 'qcow2',
      file: { driver: 'file', filename: disk },
      backing: { driver: 'raw', file: { driver: 'file', filename: base } },
    });
    await execute('qemu-io', ['-c', 'write -P 0x77 64k 64k', `json:${chain}`]);
    await execute('qemu-io', [
      '-r',
      '-c',
      'read -P 0x77 64k 64k',
      '-c',
      'read -P 0x62 0 64k',
      `json:${chain}`,
    ]);
    expect((await readFile(base)).equals(Buffer.alloc(1024 * 1024, 'b'))).toBe(true);
    await execute(qemuImg, ['check', '-q', disk]);
  });

  test('that are asked for at once come from one blank, each a file of its own', async () => {
    const directory = await scratchDirectory();
    const stock = new OverlayStock(join(directory, 'stock'), qemuImg);
    const targets = Array.from({ length: 20 }, (_, index) => join(directory, `disk-${index}`));
    await Promise.all(
      targets.map((target) => stock.create(target, directory, { diskMB: 64, uid: undefined })),
    );
    expect(await readdir(join(directory, 'stock'))).toEqual(['blank-64.qcow2']);
    const inodes = await Promise.all(targets.map(async (target) => (await stat(target)).ino));
    expect(new Set(inodes).size).toBe(20);
  });

  test('a later worker uses the blank that is there', async () => {
    const directory = await scratchDirectory();
    await new OverlayStock(directory, qemuImg).create(join(directory, 'one'), directory, {
      diskMB: 64,
      uid: undefined,
    });
    await new OverlayStock(directory, '/missing/qemu-img').create(join(directory, 'two'), directory, {
      diskMB: 64,
      uid: undefined,
    });
    expect((await info(join(directory, 'two'))).format).toBe('qcow2');
  });

  test('a failure is reported, leaves no blank, and the next try works', async () => {
    const directory = await scratchDirectory();
    const flaky = join(directory, 'flaky');
    await writeFile(
      flaky,
      `#!/bin/sh\n[ -e ${directory}/works ] && exec ${qemuImg} "$@"\necho broken >&2; exit 1\n`,
    );
    await chmod(flaky, 0o755);
    const stock = new OverlayStock(join(directory, 'stock'), flaky);
    await expect(
      stock.create(join(directory, 'disk'), directory, { diskMB: 64, uid: undefined }),
    ).rejects.toThrow('broken');
    expect(existsSync(join(directory, 'disk'))).toBe(false);
    expect(await readdir(join(directory, 'stock'))).toEqual([]);
    await writeFile(join(directory, 'works'), '');
    await stock.create(join(directory, 'disk'), directory, { diskMB: 64, uid: undefined });
    expect((await info(join(directory, 'disk'))).format).toBe('qcow2');
  });

  test('a making that a crash cut off is not taken for a blank', async () => {
    const directory = await scratchDirectory();
    await writeFile(join(directory, `blank-64.qcow2.${process.pid}.tmp`), 'half');
    await new OverlayStock(directory, qemuImg).create(join(directory, 'disk'), directory, {
      diskMB: 64,
      uid: undefined,
    });
    await execute(qemuImg, ['check', '-q', join(directory, 'disk')]);
  });
});
