import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  compareVersions,
  findQemu,
  locateQemu,
  locateQemuImage,
  parseQemuVersion,
  qemuFeatures,
  readQemuVersion,
} from './qemu.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'qemu-test-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function program(name: string, script: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

const prints = (version: string): string => `echo "QEMU emulator version ${version}"`;

describe('versions', () => {
  test.each([
    [
      'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright',
      7,
      2,
      22,
      '7.2.22 (Debian 1:7.2+dfsg-7)',
    ],
    ['QEMU emulator version 10.0.2', 10, 0, 2, '10.0.2'],
    ['qemu-img version 9.2 (v9.2-dirty)', 9, 2, 0, '9.2 (v9.2-dirty)'],
  ])('%j is read', (printed, major, minor, patch, text) => {
    expect(parseQemuVersion(printed)).toEqual({ major, minor, patch, text });
  });

  test.each(['', 'version', 'QEMU emulator version seven', 'hello\nversion 7.2.1', 'version 99999.1'])(
    '%j is no version',
    (printed) => {
      expect(parseQemuVersion(printed)).toBeUndefined();
    },
  );

  test('are ordered by number, not by letter', () => {
    const version = (major: number, minor: number, patch: number) => ({ major, minor, patch });
    expect(compareVersions(version(10, 0, 0), version(9, 2, 4))).toBeGreaterThan(0);
    expect(compareVersions(version(7, 2, 9), version(7, 2, 22))).toBeLessThan(0);
    expect(compareVersions(version(8, 2, 0), version(8, 2, 0))).toBe(0);
  });

  test('8.2 brings RAM over read-only files', () => {
    const old = { readonlyRam: false };
    expect(qemuFeatures({ major: 7, minor: 2, patch: 22 })).toEqual(old);
    expect(qemuFeatures({ major: 8, minor: 1, patch: 99 })).toEqual(old);
    expect(qemuFeatures({ major: 8, minor: 2, patch: 0 })).toEqual({ readonlyRam: true });
  });
});

describe('finding', () => {
  test('the first directory of the search path that holds it counts', async () => {
    const first = await program('one/qemu-system-x86_64', prints('8.2.1'));
    await program('two/qemu-system-x86_64', prints('7.2.1'));
    const image = await program('two/qemu-img', 'echo qemu-img version 8.2.1');
    const searchPath = `${join(directory, 'none')}::${join(directory, 'one')}:${join(directory, 'two')}`;
    const qemu = await findQemu({ override: '', searchPath });
    expect(qemu).toMatchObject({ path: first, imagePath: image, version: { major: 8, minor: 2, patch: 1 } });
    expect(qemu.features.readonlyRam).toBe(true);
  });

  test('what is no executable file is passed over', async () => {
    await mkdir(join(directory, 'a/qemu-system-x86_64'), { recursive: true });
    const plain = await program('b/qemu-system-x86_64', '');
    await chmod(plain, 0o644);
    const searchPath = `${join(directory, 'a')}:${join(directory, 'b')}`;
    await expect(locateQemu({ override: '', searchPath })).rejects.toThrow('was not found in');
  });

  test('an override is a program or a directory, and qemu-img is looked for beside it', async () => {
    const path = await program('qemu-system-x86_64', prints('7.2.0'));
    const image = await program('qemu-img', 'true');
    for (const override of [path, directory]) {
      expect(await locateQemu({ override, searchPath: '' })).toBe(path);
      expect(await locateQemuImage({ override, searchPath: '' })).toBe(image);
    }
  });

  test('an override that leads nowhere is an error, though PATH has one', async () => {
    const override = join(directory, 'missing');
    await expect(locateQemu({ override })).rejects.toMatchObject({
      name: 'HostError',
      message: expect.stringContaining(override),
      hint: expect.stringContaining('OPENCOMPUTER_QEMU'),
    });
  });

  test('qemu-img may be missing where QEMU is there', async () => {
    const path = await program('qemu-system-x86_64', prints('9.0.0'));
    await expect(findQemu({ override: path, searchPath: '' })).rejects.toThrow('qemu-img was not found');
  });

  test('a version below 7.2 is refused', async () => {
    await program('qemu-system-x86_64', prints('7.1.9'));
    await program('qemu-img', 'true');
    await expect(findQemu({ override: directory })).rejects.toThrow('is QEMU 7.1.9; at least 7.2 is needed');
  });
});

describe('a program that is no QEMU', () => {
  test.each([
    ['fails', 'exit 3', 'cannot be run'],
    ['prints something else', 'echo hello', 'prints no version of QEMU: "hello'],
    ['prints without end', 'yes', 'cannot be run'],
  ])('%s', async (_name, script, message) => {
    await expect(readQemuVersion(await program('qemu', script))).rejects.toThrow(message);
  });
});
