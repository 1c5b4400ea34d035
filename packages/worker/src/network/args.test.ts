import { expect, test } from 'vitest';
import { networkArgs } from './args.ts';

test('a namespace slot is QEMU’s tap, without scripts', () => {
  const slot = {
    mode: 'namespace',
    index: 3,
    uid: 300_003,
    namespacePath: '/run/netns/x',
    tap: 'tap0',
  } as const;
  expect(networkArgs(slot)).toEqual(['-netdev', 'tap,id=net0,ifname=tap0,script=no,downscript=no']);
  expect(networkArgs(slot, 'net0', 6)).toEqual(['-netdev', 'tap,id=net0,fd=6']);
});

test('a user slot gives the guest the addresses of a namespace, under the name asked for', () => {
  expect(networkArgs({ mode: 'user', index: 0, uid: 1000 }, 'nic')).toEqual([
    '-netdev',
    'user,id=nic,ipv6=off,net=172.30.0.0/30,host=172.30.0.3,dns=172.30.0.1,dhcpstart=172.30.0.2',
  ]);
});
