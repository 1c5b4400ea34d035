import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sealSnapshot } from '../snapshots/seal.ts';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { publish } from './publish.ts';

/** A snapshot whose disk has some content. */
async function snapshot(directory: string, disk: string) {
  await mkdir(directory);
  await writeFile(join(directory, 'layer-0'), disk);
  return sealSnapshot(directory, {
    format: 1,
    key: 'a'.repeat(32),
    name: 'base',
    compatibility: {
      qemu: 'QEMU',
      accelerator: 'tcg',
      cpuModel: 'max',
      hostCpu: 'cpu',
      cpuCount: 1,
      memoryMB: 512,
      diskMB: 1024,
      boot: 'boot',
      rootfs: 'rootfs',
      argv: 'argv',
    },
    layers: ['raw'],
    memory: false,
    sizeBytes: disk.length,
    pauseMs: 0,
    agentGeneration: 1,
    createdAt: new Date().toISOString(),
  });
}

test('where another worker was faster, machines get its files and its manifest', async () => {
  const directory = await scratchDirectory();
  const target = join(directory, 'target');
  const first = await snapshot(join(directory, 'one'), 'short');
  const second = await snapshot(join(directory, 'two'), 'longer');
  expect(await publish(join(directory, 'one'), target, first)).toEqual(first);
  expect(await publish(join(directory, 'two'), target, second)).toEqual(first);
  expect(await readFile(join(target, 'layer-0'), 'utf8')).toBe('short');
});

test('what stands in the way and is no snapshot is an error', async () => {
  const directory = await scratchDirectory();
  const manifest = await snapshot(join(directory, 'one'), 'short');
  await mkdir(join(directory, 'target/other'), { recursive: true });
  const failure = await failureOf(publish(join(directory, 'one'), join(directory, 'target'), manifest));
  expect(failure).toMatchObject({ code: 'ENOTEMPTY' });
});
