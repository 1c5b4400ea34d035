import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { MachineSetup } from '../qemu/argv.ts';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { argvHash, compatibilityKey, type Compatibility, manifestFile, readManifest } from './manifest.ts';
import { sealSnapshot } from './seal.ts';
import {
  sampleCompatibility as compatibility,
  sampleManifest as manifest,
} from './testing/sample-manifest.ts';

const others: { [Field in keyof Compatibility]: Compatibility[Field] } = {
  qemu: '7.2.22',
  accelerator: 'tcg',
  cpuModel: 'max',
  hostCpu: '',
  cpuCount: 2,
  memoryMB: 1025,
  diskMB: 20_481,
  boot: 'boot-kez',
  rootfs: 'boot-key',
  argv: '0123456789abcdee',
};
const setup: MachineSetup = {
  name: 'opencomputer-0123abcd-sb-01234567',
  features: { readonlyRam: false },
  accelerator: 'kvm',
  cpuModel: 'host',
  cpuCount: 1,
  memoryMB: 1024,
  ram: 'private',
  layers: [{ file: 'layer-0', format: 'raw' }],
  top: 'disk.qcow2',
  network: ['-netdev', 'tap,id=net0,ifname=tap0'],
  guestMac: '52:54:00:6f:63:01',
  start: { kind: 'restore' },
};
test('the hash of the devices is that of earlier releases: what they saved is restored', () => {
  expect(argvHash(setup)).toBe('fd9161f82b9c10b0');
});

describe('the key of a snapshot', () => {
  const key = compatibilityKey('base', compatibility);

  test('is 32 hex digits and stays the same', () => {
    expect(key).toMatch(/^[0-9a-f]{32}$/);
    expect(compatibilityKey('base', { ...compatibility })).toBe(key);
  });

  test.each(Object.entries(others))('changes with %s', (field, other) => {
    expect(compatibilityKey('base', { ...compatibility, [field]: other })).not.toBe(key);
  });

  test('changes with the name, and a name cannot pass for a field', () => {
    expect(compatibilityKey('bas', compatibility)).not.toBe(key);
    expect(compatibilityKey('base","boot', compatibility)).not.toBe(key);
    expect(compatibilityKey('base', { ...compatibility, boot: 'rootfs-key', rootfs: 'boot-key' })).not.toBe(
      key,
    );
  });

  test('does not depend on the order of the fields', () => {
    const reversed = Object.fromEntries(Object.entries(compatibility).toReversed()) as Compatibility;
    expect(Object.keys(reversed)).not.toEqual(Object.keys(compatibility));
    expect(compatibilityKey('base', reversed)).toBe(key);
  });
});

describe('the hash of a command line', () => {
  const hash = argvHash(setup);

  test.each<[string, Partial<MachineSetup>]>([
    ['name', { name: 'another' }],
    ['network', { network: ['-netdev', 'user,id=net0'] }],
    ['layers', { layers: [...setup.layers, { file: 'layer-1', format: 'qcow2' }] }],
    ['way to start', { start: { kind: 'boot', kernelArgs: 'quiet' } }],
  ])('leaves out its %s', (_name, change) => {
    expect(argvHash({ ...setup, ...change })).toBe(hash);
  });

  test.each<[string, Partial<MachineSetup>]>([
    ['accelerator', { accelerator: 'tcg' }],
    ['processor', { cpuModel: 'max' }],
    ['number of processors', { cpuCount: 2 }],
    ['memory', { memoryMB: 512 }],
  ])('holds its %s', (_name, change) => {
    expect(argvHash({ ...setup, ...change })).not.toBe(hash);
  });
});

describe('reading a manifest', () => {
  test('gives what was sealed', async () => {
    const directory = await scratchDirectory();
    await writeFile(join(directory, 'ram'), 'ram');
    await writeFile(join(directory, 'devices'), 'devices');
    const sealed = await sealSnapshot(directory, manifest);
    expect(sealed).toEqual({ ...manifest, sizes: { ram: 3, devices: 7 } });
    expect(await readManifest(directory)).toEqual(sealed);
  });

  test('a directory without one is no snapshot', async () => {
    expect(await readManifest(await scratchDirectory())).toBeUndefined();
    expect(await readManifest(join(await scratchDirectory(), 'missing'))).toBeUndefined();
  });

  const text = JSON.stringify(manifest);
  const { key: _key, ...withoutKey } = manifest;
  test.each([
    ['nothing', ''],
    ['half', text.slice(0, text.length / 2)],
    ['NULs, as after a power cut', '\0'.repeat(text.length)],
    ['a list', '[]'],
    ['null', 'null'],
    ['no key', JSON.stringify(withoutKey)],
    ['a key that climbs', JSON.stringify({ ...manifest, key: '../../etc' })],
    ['a later format', JSON.stringify({ ...manifest, format: 2 })],
    ['an unknown kind of layer', JSON.stringify({ ...manifest, layers: ['vmdk'] })],
    ['too many layers', JSON.stringify({ ...manifest, layers: Array.from({ length: 257 }, () => 'raw') })],
    [
      'an accelerator that is none',
      JSON.stringify({ ...manifest, compatibility: { ...compatibility, accelerator: 'hvf' } }),
    ],
    ['no memory', JSON.stringify({ ...manifest, compatibility: { ...compatibility, memoryMB: 0 } })],
  ])('%s: damaged, and it says where', async (_name, content) => {
    const directory = await scratchDirectory();
    await writeFile(join(directory, manifestFile), content);
    const error = await failureOf(readManifest(directory));
    expect(error.message).toContain('is damaged');
    expect(error.message).toContain(directory);
  });

  test('one that cannot be read is not taken for a missing one', async () => {
    const directory = await scratchDirectory();
    const file = join(directory, 'file');
    await writeFile(file, '');
    await expect(readManifest(file)).rejects.toThrow('ENOTDIR');
  });
});
