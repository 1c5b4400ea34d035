import { compatibilityKey, type Compatibility, type Manifest } from '../manifest.ts';

export const sampleCompatibility: Compatibility = {
  qemu: '7.2.22 (Debian)',
  accelerator: 'kvm',
  cpuModel: 'host',
  hostCpu: 'A processor',
  cpuCount: 1,
  memoryMB: 1024,
  diskMB: 20_480,
  boot: 'boot-key',
  rootfs: 'rootfs-key',
  argv: '0123456789abcdef',
};

/** A valid manifest. */
export const sampleManifest: Manifest = {
  format: 1,
  key: compatibilityKey('base', sampleCompatibility),
  name: 'base',
  compatibility: sampleCompatibility,
  layers: ['raw', 'qcow2'],
  memory: true,
  sizeBytes: 4096,
  pauseMs: 12.5,
  agentGeneration: 1,
  sizes: {},
  createdAt: '2026-01-01T00:00:00.000Z',
};
