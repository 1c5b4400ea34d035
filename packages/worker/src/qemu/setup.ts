import type { Egress } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import type { OverlayStock } from '../disk/overlay.ts';
import type { Acceleration } from '../host/acceleration.ts';
import type { Integrity } from '../host/integrity.ts';
import type { Jail } from '../host/jail.ts';
import type { Qemu } from '../host/qemu.ts';
import { guestNetwork } from '../network/addresses.ts';
import { networkArgs } from '../network/args.ts';
import type { Network, NetworkSlot } from '../network/types.ts';
import { type DiskLayer, machineDescriptors, machineFiles, type MachineSetup } from './argv.ts';

/** Boot files and base root file system, as `images/` builds them. */
export interface Images {
  kernel: string;
  initramfs: string;
  rootfs: string;
  /** Content keys. */
  bootKey: string;
  rootfsKey: string;
}

/** What all machines of this host have in common. */
export interface HostSetup {
  /** Distinguishes this installation from others on the host: 8 hex digits. */
  instanceTag: string;
  qemu: Qemu;
  /** Path of the program that starts QEMU. */
  jailer: string;
  acceleration: Acceleration;
  /** Model of the host's processor, as /proc/cpuinfo names it. */
  hostCpu: string;
  images: Images;
  overlays: OverlayStock;
  integrity: Integrity;
  network: Network;
  /** The settings that guests need to reach the internet through this host's network. */
  egress: Egress;
  /** The directory for deleted directories until they are removed. */
  trash: string;
  log: Logger;
}

/** CPU, memory and disk of a machine. */
export interface Shape {
  cpuCount: number;
  memoryMB: number;
  diskMB: number;
}

/** The prefix of the names of all QEMU processes of an installation. */
export function processPrefix(instanceTag: string): string {
  return `opencomputer-${instanceTag}-`;
}

/** The prefix of the names of all QEMU processes of one machine; the number of the run follows. */
export function machinePrefix(instanceTag: string, id: string): string {
  return `${processPrefix(instanceTag)}${id}.`;
}

/** The part after the prefix in the names of machines that become templates. */
export const templateNamePrefix = 'template-';

/** The setup of a machine's command line on this host. */
export function machineSetup(
  host: HostSetup,
  machine: {
    name: string;
    shape: Shape;
    layers: readonly DiskLayer[];
    top?: string;
    slot: NetworkSlot | undefined;
  },
  mode: Pick<MachineSetup, 'ram' | 'start'>,
): MachineSetup {
  return {
    name: processPrefix(host.instanceTag) + machine.name,
    features: host.qemu.features,
    accelerator: host.acceleration.accelerator,
    cpuModel: host.acceleration.cpuModel,
    cpuCount: machine.shape.cpuCount,
    memoryMB: machine.shape.memoryMB,
    layers: machine.layers,
    top: machine.top ?? machineFiles.disk,
    network: machine.slot === undefined ? [] : networkArgs(machine.slot, 'net0', machineDescriptors.tap),
    guestMac: guestNetwork.guestMac,
    ...mode,
  };
}

/** The user that a machine runs as; undefined when we are not root, and it runs as our own user. */
export function machineUid(slot: NetworkSlot): number | undefined {
  return process.getuid?.() === 0 ? slot.uid : undefined;
}

/** The jail of a machine's process. */
export function jailOf(
  { jailer, acceleration }: Pick<HostSetup, 'jailer' | 'acceleration'>,
  slot: NetworkSlot,
  { diskMB, memoryMB }: Shape,
): Jail {
  const jail: Jail = {
    jailer,
    uid: machineUid(slot),
    kvmDevice: acceleration.accelerator === 'kvm' ? '/dev/kvm' : undefined,
    internet: slot.mode === 'user',
    // An overlay may be larger than its disk: by its tables, and by clusters that are no longer used.
    fileBytes: (2 * diskMB + memoryMB + 1024) * 1024 * 1024,
  };
  if (slot.mode === 'user') return jail;
  const tap = { name: slot.tap, descriptor: machineDescriptors.tap };
  return { ...jail, networkPath: slot.namespacePath, tap };
}
