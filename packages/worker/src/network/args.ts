import { guestNetwork } from './addresses.ts';
import type { NetworkSlot } from './types.ts';

/**
 * QEMU arguments for the host side of a machine's network card.
 * @param id name by which the device (`-device virtio-net-...,netdev=<id>`) refers to it
 * @param tapDescriptor where QEMU finds the tap device opened; without it QEMU opens it by itself
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
 * The guest is to find the addresses of the other mode. The name server takes the gateway's: any address the
 * user network answers for serves as a gateway, and its own "host" (the alias of the host's loopback) goes to
 * the guest's broadcast address, which programs in the guest cannot connect to.
 */
function userNetdev(id: string): string {
  const { subnet, gateway, guest } = guestNetwork;
  return `user,id=${id},ipv6=off,net=${subnet},host=172.30.0.3,dns=${gateway},dhcpstart=${guest}`;
}
