import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findArtifact, makeArtifact, removeAbandoned, removeOthers } from './artifact.ts';
import { bootKey, initramfsEntries, parseBootManifest } from './boot.ts';
import { adviceFor, findImages } from './build.ts';
import { contentKey, folderParts, isGoSource } from './key.ts';
import { takeLock } from './lock.ts';
import { loadOrder, moduleName, parseBuiltinModules, parseModuleDependencies } from './modules.ts';
import { parsePackageList, parseRootfsManifest, rootfsKey } from './rootfs.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'images-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('content keys', () => {
  it('change with a name, with content and with where one part ends, not with the order', () => {
    const key = contentKey([
      { name: 'a', content: '1' },
      { name: 'b', content: '2' },
    ]);
    expect(key).toMatch(/^[0-9a-f]{16}$/);
    const reordered = contentKey([
      { name: 'b', content: '2' },
      { name: 'a', content: Buffer.from('1') },
    ]);
    expect(reordered).toBe(key);
    const others = [
      [{ name: 'a', content: '1' }],
      [
        { name: 'a', content: '12' },
        { name: 'b', content: '' },
      ],
      [
        { name: 'a', content: '1' },
        { name: 'c', content: '2' },
      ],
    ].map(contentKey);
    expect(new Set([key, ...others]).size).toBe(4);
  });

  it('take every file of a folder and leave out what a filter refuses', async () => {
    await mkdir(path.join(dir, 'sub'));
    await mkdir(path.join(dir, 'agenttest'));
    for (const name of ['main.go', 'sub/port.go', 'agenttest/host.go', 'main_test.go', 'notes.md']) {
      writeFileSync(path.join(dir, name), name);
    }
    const names = folderParts(dir, isGoSource).map((part) => part.name);
    expect(names.toSorted()).toEqual(['main.go', 'sub/port.go']);
  });

  it("of the boot pack follow the root file system's", () => {
    expect(bootKey('0'.repeat(16))).not.toBe(bootKey('1'.repeat(16)));
    expect(rootfsKey()).toBe(rootfsKey());
  });
});

describe('module order', () => {
  const dependencies = parseModuleDependencies(
    [
      'kernel/net/core/failover.ko.xz:',
      'kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz',
      'kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz',
      'kernel/drivers/char/hw_random/virtio-rng.ko.xz:',
      '',
    ].join('\n'),
  );
  const builtin = parseBuiltinModules('kernel/fs/ext4/ext4.ko\n');

  it('puts each module after what it needs, once, and leaves out what is built in', () => {
    const order = loadOrder(['ext4', 'virtio_net', 'virtio_rng', 'net_failover'], dependencies, builtin);
    expect(order.map(moduleName)).toEqual(['failover', 'net_failover', 'virtio_net', 'virtio_rng']);
  });

  it('names a module that the kernel lacks', () => {
    expect(() => loadOrder(['virtio_gpu'], dependencies, builtin)).toThrow('no module virtio_gpu');
  });

  it('refuses circles, gaps and lines that are none', () => {
    const circle = parseModuleDependencies('a.ko: b.ko\nb.ko: a.ko\n');
    expect(() => loadOrder(['a'], circle, builtin)).toThrow('a.ko needs itself');
    const gap = parseModuleDependencies('a.ko: b.ko\n');
    expect(() => loadOrder(['a'], gap, builtin)).toThrow('b.ko is needed but not listed');
    expect(() => parseModuleDependencies('no colon')).toThrow('modules.dep');
  });

  it("survives in the names of the initramfs's files beyond ten modules", () => {
    const order = Array.from({ length: 12 }, (_, index) => `kernel/m${index}.ko.xz`);
    const entries = initramfsEntries(
      Buffer.from('init'),
      Buffer.from('agent'),
      order,
      order.map(() => Buffer.from('module')),
    );
    const names = entries.map((entry) => entry.path).filter((name) => name.startsWith('modules/'));
    expect(names).toHaveLength(12);
    expect(names.toSorted()).toEqual(names);
    expect(names[2]).toBe('modules/002-m2.ko');
  });
});

describe('manifests', () => {
  it('are read back as written', () => {
    const rootfs = { format: 1, key: 'k', virtualBytes: 5, kernelRelease: '6.12' } as const;
    expect(parseRootfsManifest(JSON.parse(JSON.stringify(rootfs)))).toEqual(rootfs);
    const boot = { format: 1, key: 'k', rootfsKey: 'r', kernelRelease: '6.12' } as const;
    expect(parseBootManifest(JSON.parse(JSON.stringify(boot)))).toEqual(boot);
  });

  it.each([null, 7, 'text', [], {}, { format: 2 }, { format: 1, key: 3 }])('refuses %j', (value) => {
    expect(() => parseRootfsManifest(value)).toThrow('not a manifest');
    expect(() => parseBootManifest(value)).toThrow('not a manifest');
  });
});

describe('artifacts', () => {
  const parse = (value: unknown): unknown => value;

  it('appear whole, with their manifest', async () => {
    expect(await findArtifact(dir, 'boot-1', parse)).toBeUndefined();
    await makeArtifact(dir, 'boot-1', async (temporaryDir) => {
      await writeFile(path.join(temporaryDir, 'kernel'), 'elf');
      return { format: 1 };
    });
    expect(await findArtifact(dir, 'boot-1', parse)).toEqual({
      dir: path.join(dir, 'boot-1'),
      manifest: { format: 1 },
    });
    expect(await readFile(path.join(dir, 'boot-1', 'kernel'), 'utf8')).toBe('elf');
  });

  it('leave nothing when their build fails', async () => {
    const build = makeArtifact(dir, 'boot-1', async (temporaryDir) => {
      await writeFile(path.join(temporaryDir, 'kernel'), 'half');
      throw new Error('network is down');
    });
    await expect(build).rejects.toThrow('network is down');
    expect(await readdir(dir)).toEqual([]);
  });

  it('whose builder died are removed, finished ones kept', async () => {
    await mkdir(path.join(dir, '.building-abc'));
    await writeFile(path.join(dir, '.building-abc', 'rootfs.ext4'), 'half');
    await makeArtifact(dir, 'boot-1', async () => ({}));
    await removeAbandoned(dir);
    expect(await readdir(dir)).toEqual(['boot-1']);
  });

  it('of other source trees are pruned, and nothing else', async () => {
    const [ours, theirs] = ['0'.repeat(16), '1'.repeat(16)];
    for (const name of [`boot-${ours}`, `rootfs-${theirs}`, `boot-${theirs}`, 'templates']) {
      await mkdir(path.join(dir, name));
    }
    await writeFile(path.join(dir, '.lock'), '');
    await writeFile(path.join(dir, `build-${theirs}.log`), '');
    const removed = await removeOthers(dir, [`boot-${ours}`]);
    expect(removed).toHaveLength(3);
    expect((await readdir(dir)).toSorted()).toEqual(['.lock', `boot-${ours}`, 'templates']);
  });

  it('with a damaged manifest say what to do', async () => {
    await mkdir(path.join(dir, 'boot-1'));
    await writeFile(path.join(dir, 'boot-1', 'manifest.json'), '{"format":');
    await expect(findArtifact(dir, 'boot-1', parse)).rejects.toThrow('remove that directory and build again');
  });

  it('are not made by asking whether they exist', async () => {
    expect(await findImages(path.join(dir, 'cache'))).toBeUndefined();
    expect(await readdir(dir)).toEqual([]);
  });
});

describe('build lock', () => {
  it('lets one in at a time and tells the other that it waits', async () => {
    const file = path.join(dir, '.lock');
    const events: string[] = [];
    const first = await takeLock(file, () => events.push('first waits'));
    const { promise: waits, resolve } = Promise.withResolvers<void>();
    const second = takeLock(file, () => {
      events.push('second waits');
      resolve();
    }).finally(() => events.push('second in'));
    await waits;
    events.push('first out');
    await first[Symbol.asyncDispose]();
    await (await second)[Symbol.asyncDispose]();
    expect(events).toEqual(['second waits', 'first out', 'second in']);
  });

  it('gives up waiting when told to', async () => {
    const file = path.join(dir, '.lock');
    await using held = await takeLock(file, () => undefined);
    expect(held.fd).toBeGreaterThan(2);
    const stop = new AbortController();
    const second = takeLock(file, () => stop.abort(new Error('interrupted')), stop.signal);
    await expect(second).rejects.toThrow(/abort|interrupted/i);
  });
});

describe('recipe', () => {
  it('reads package lists and refuses what is no package name', () => {
    expect(parsePackageList('# comment, with, commas\ngit  git-lfs\n\ng++\n')).toEqual([
      'git',
      'git-lfs',
      'g++',
    ]);
    expect(() => parsePackageList('git; rm -rf /')).toThrow('not the name of a Debian package');
  });

  it('has a runnable hook', async () => {
    const hook = await stat(path.join(import.meta.dirname, 'rootfs/customize.sh'));
    expect(hook.mode & 0o111).toBe(0o111);
  });

  it('advises on network and disk failures only', () => {
    expect(adviceFor('E: Failed to fetch http://deb.debian.org/x Could not resolve')).toContain('network');
    expect(adviceFor('write: No space left on device')).toContain('OPENCOMPUTER_CACHE_DIR');
    expect(adviceFor('go failed (exit code 1): undefined: x')).toBe('');
  });
});
