import { expect, test } from 'vitest';
import { jailOf } from './setup.ts';

const shape = { cpuCount: 1, memoryMB: 256, diskMB: 1024 };
const uid = process.getuid?.() === 0 ? 300_007 : undefined;
const jailer = '/images/jailer';
const namespace = {
  mode: 'namespace',
  index: 7,
  uid: 300_007,
  namespacePath: '/run/netns/oc-1',
  tap: 'tap0',
} as const;

test.each(['tcg', 'kvm'] as const)('a machine under %s is in a jail', (accelerator) => {
  const host = { jailer, acceleration: { accelerator, cpuModel: 'max', reason: '', cached: false } };
  expect(jailOf(host, namespace, shape)).toEqual({
    jailer,
    uid,
    kvmDevice: accelerator === 'kvm' ? '/dev/kvm' : undefined,
    networkPath: '/run/netns/oc-1',
    tap: { name: 'tap0', descriptor: 6 },
    internet: false,
    fileBytes: (2 * 1024 + 256 + 1024) * 1024 * 1024,
  });
});

test('a machine with user networking may make sockets, and joins no namespace', () => {
  const host = {
    jailer,
    acceleration: { accelerator: 'tcg', cpuModel: 'max', reason: '', cached: false },
  } as const;
  const jail = jailOf(host, { mode: 'user', index: 7, uid: 300_007 }, shape);
  expect(jail).toMatchObject({ uid, internet: true, kvmDevice: undefined });
  expect(jail.networkPath ?? jail.tap).toBeUndefined();
});
