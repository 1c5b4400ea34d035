import { guestNetwork } from './addresses.ts';
import type { NetworkSlot } from './types.ts';

/**
 * QEMU's arguments for the host side of a machine's network card.
 * @param id the name by which the device (`-device virtio-net-...,netdev=<id>`) refers to it
 * @param tapDescriptor the descriptor of the opened tap device; without it QEMU opens the device itself
 */
export function networkArgs(slot: NetworkSlot, id = 'net0', tapDescriptor?: number): string[] {
  if (slot.mode === 'user') return ['-netdev', userNetdev(id)];
  if (tapDescriptor !== undefined) return ['-netdev', `tap,id=${id},fd=${tapDescriptor}`];
  return ['-netdev', tapNetdev(slot.tap, id)];
}

function tapNetdev(tap: string, id: string): string {
  return `tap,id=${id},ifname=${tap},script=no,downscript=no`;
}

/**
 * The guest must see the same addresses as in the other mode. The name server gets the gateway's address: every address
 * that the user network answers for works as a gateway. Its own `host` (an alias of the host's loopback) gets the
 * guest's broadcast address, to which programs in the guest cannot connect.
 */
function userNetdev(id: string): string {
  const { subnet, gateway, guest } = guestNetwork;
  return `user,id=${id},ipv6=off,net=${subnet},host=172.30.0.3,dns=${gateway},dhcpstart=${guest}`;
}
