import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { writeCpio } from './cpio.ts';
import { extractKernel } from './kernel.ts';

const pvhNote = Buffer.from([4, 0, 0, 0, 8, 0, 0, 0, 18, 0, 0, 0, 0x58, 0x65, 0x6e, 0]);
const elf = Buffer.concat([Buffer.from('\u007fELF'), Buffer.alloc(100, 7), pvhNote]);

function bzImage(payload: Buffer): Buffer {
  const image = Buffer.alloc(2048 + payload.length + 4);
  image[0x1f1] = 2;
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(512, 0x248);
  image.writeUInt32LE(payload.length + 4, 0x24c);
  payload.copy(image, 2048);
  return image;
}

describe('kernel extraction', () => {
  it('returns the ELF kernel of a bzImage', () => {
    expect(extractKernel(bzImage(zstdCompressSync(elf))).equals(elf)).toBe(true);
  });

  it.each([
    ['an empty file', Buffer.alloc(0), 'not an x86 bzImage'],
    ['another payload', bzImage(Buffer.from('not zstd at all')), 'expected a zstd payload'],
    ['a payload that is no kernel', bzImage(zstdCompressSync(Buffer.alloc(64))), 'not ELF'],
    ['a kernel without PVH', bzImage(zstdCompressSync(elf.subarray(0, 100))), 'no PVH entry'],
    ['a cut-off file', bzImage(zstdCompressSync(elf)).subarray(0, 2060), 'outside the file'],
  ])('refuses %s', (_what, image, reason) => {
    expect(() => extractKernel(image)).toThrow(reason);
  });
});

describe('cpio archive', () => {
  it('is one that cpio unpacks to the same files', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'cpio-'));
    try {
      const content = Buffer.from('odd length\n!');
      const archive = writeCpio([
        { kind: 'directory', path: 'modules', mode: 0o755 },
        { kind: 'file', path: 'modules/001-a.ko', mode: 0o644, content },
        { kind: 'file', path: 'init', mode: 0o755, content: Buffer.from('x') },
      ]);
      execFileSync('cpio', ['--extract', '--quiet'], { cwd: dir, input: archive });
      expect(readFileSync(path.join(dir, 'modules/001-a.ko')).equals(content)).toBe(true);
      expect(statSync(path.join(dir, 'init')).mode & 0o777).toBe(0o755);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('holds device nodes with their numbers', () => {
    const archive = writeCpio([{ kind: 'device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 }]);
    const listing = execFileSync('cpio', ['--list', '--verbose', '--quiet'], { input: archive }).toString();
    expect(listing).toMatch(/^crw-------.* 5, +1 .*dev\/console$/m);
  });
});
