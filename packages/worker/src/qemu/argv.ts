import { guestPortName } from '@opencomputer/protocol';
import type { QemuFeatures } from '../host/qemu.ts';

/** Names of the files in a run directory. It is QEMU's working directory; QEMU sees nothing else. */
export const machineFiles = {
  ram: 'ram',
  /** The state of its devices, while a snapshot is taken. */
  devices: 'devices',
  disk: 'disk.qcow2',
  kernel: 'kernel',
  initramfs: 'initramfs',
  qmp: 'qmp.sock',
  agent: 'agent.sock',
  /** Label of the character device behind the guest agent's port. */
  agentDevice: 'agent',
  layer: (index: number) => `layer-${index}`,
} as const;

export interface DiskLayer {
  file: string;
  format: 'raw' | 'qcow2';
}

/** Everything that a QEMU command line depends on. */
export interface MachineSetup {
  /** Shown by `ps`; a worker finds the machines of an earlier one by it. Letters, digits, dots and hyphens. */
  name: string;
  features: QemuFeatures;
  accelerator: 'kvm' | 'tcg';
  /** Value of -cpu. */
  cpuModel: string;
  cpuCount: number;
  memoryMB: number;
  /** shared: the file is the RAM (a template boots so); private: copy-on-write over the file. */
  ram: 'shared' | 'private';
  /** Immutable layers of the disk, the oldest first. None: a machine without a disk. */
  layers: readonly DiskLayer[];
  /** File of the writable overlay on top of the layers. */
  top: string;
  /** From `networkArgs`: the -netdev part, with id `net0`. */
  network: readonly string[];
  guestMac: string;
  /**
   * How QEMU gets the sockets of its monitor and of the guest agent's port. Default: the jailer passes them as
   * `machineDescriptors`.
   */
  sockets?: readonly string[];
  /** boot: start the kernel; restore: load the device state from file descriptor 3 and wait for `cont`. */
  start: { kind: 'boot'; kernelArgs: string } | { kind: 'restore' };
}

/** The descriptors that QEMU is started with. */
export const machineDescriptors = {
  /** The device state to restore, for reading. */
  state: 3,
  /** Listening sockets of the monitor and of the guest agent's port. */
  qmp: 4,
  agent: 5,
  /** The tap device of its network. */
  tap: 6,
} as const;

const listeningSockets = [
  ...['-chardev', `socket,id=qmp,fd=${machineDescriptors.qmp},server=on,wait=off`],
  ...['-mon', 'chardev=qmp,mode=control'],
  ...['-chardev', `socket,id=${machineFiles.agentDevice},fd=${machineDescriptors.agent},server=on,wait=off`],
];

/**
 * For a QEMU that makes its sockets itself, as every QEMU once did. These words are part of the keys of what was saved
 * then.
 */
export const socketsByName = [
  ...['-qmp', `unix:${machineFiles.qmp},server=on,wait=off`],
  ...['-chardev', `socket,id=${machineFiles.agentDevice},path=${machineFiles.agent},server=on,wait=off`],
];

const consoleBytes = 64 * 1024;

/** No character that has a meaning in QEMU's options; the empty name stands for any name. */
const namePattern = /^(?:[a-z0-9][a-z0-9.-]{0,127})?$/i;

/** Upper bound of the emulator's cache of translated code per machine, in MiB; it is filled only as code runs. */
const translationCacheMB = 256;

function accelerator(setup: MachineSetup): string {
  return setup.accelerator === 'kvm' ? 'kvm' : `tcg,thread=multi,tb-size=${translationCacheMB}`;
}

function ramObject(setup: MachineSetup): string {
  const base = `memory-backend-file,id=ram,size=${setup.memoryMB}M,mem-path=${machineFiles.ram}`;
  if (setup.ram === 'shared') return `${base},share=on`;
  return setup.features.readonlyRam ? `${base},share=off,readonly=on,rom=off` : `${base},share=off`;
}

/** Name of the block node of the writable overlay on top of so many layers. */
function diskNode(layers: number): string {
  return `disk${layers}`;
}

function diskArgs({ layers, top }: MachineSetup): string[] {
  if (layers.length === 0) return [];
  const nodes = layers.map((layer, index) => ({
    driver: layer.format,
    'node-name': `layer${index}`,
    'read-only': true,
    file: { driver: 'file', filename: layer.file, 'read-only': true },
    ...(layer.format === 'qcow2' ? { backing: index === 0 ? null : `layer${index - 1}` } : {}),
  }));
  const overlay = {
    driver: 'qcow2',
    'node-name': diskNode(layers.length),
    discard: 'unmap',
    'detect-zeroes': 'unmap',
    file: { driver: 'file', filename: top, discard: 'unmap' },
    backing: `layer${layers.length - 1}`,
  };
  return [
    ...[...nodes, overlay].flatMap((node) => ['-blockdev', JSON.stringify(node)]),
    '-device',
    `virtio-blk-pci,id=disk,drive=${diskNode(layers.length)},addr=0x2`,
  ];
}

/**
 * The command line of one machine, without the program's name. The same setup gives the same list. All of it but paths
 * and names is part of the compatibility key of snapshots.
 * @throws Error for a name that QEMU could take for options
 */
export function machineArgv(setup: MachineSetup): string[] {
  if (!namePattern.test(setup.name))
    throw new Error(
      `the name of a machine may have 128 letters, digits, dots and hyphens; this has others: ${JSON.stringify(setup.name)}`,
    );
  return [
    ...['-name', setup.name],
    ...['-no-user-config', '-nodefaults', '-display', 'none'],
    ...['-machine', 'q35,suppress-vmdesc=on,memory-backend=ram,vmport=off,smbus=off,sata=off,hpet=off'],
    ...['-accel', accelerator(setup), '-cpu', setup.cpuModel, '-smp', String(setup.cpuCount)],
    ...['-m', `${setup.memoryMB}M`, '-object', ramObject(setup)],
    // The device state is loaded without RAM, from a stream that holds nothing else.
    ...['-global', 'migration.send-configuration=off'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-action', 'reboot=shutdown', '-rtc', 'base=utc'],
    // A ring buffer, since a guest may print for ever.
    ...['-chardev', `ringbuf,id=console,size=${consoleBytes}`, '-serial', 'chardev:console'],
    ...(setup.sockets ?? listeningSockets),
    ...['-device', 'virtio-serial-pci,id=serial,addr=0x4,max_ports=2'],
    ...['-device', `virtserialport,id=agent,bus=serial.0,nr=1,chardev=agent,name=${guestPortName}`],
    ...diskArgs(setup),
    ...setup.network,
    ...(setup.network.length === 0
      ? []
      : ['-device', `virtio-net-pci,netdev=net0,mac=${setup.guestMac},romfile=,guest_announce=off,addr=0x3`]),
    ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-pci,rng=rng0,addr=0x5'],
    ...['-device', 'vmgenid,guid=auto'],
    ...startArgs(setup),
  ];
}

function startArgs(setup: MachineSetup): string[] {
  if (setup.start.kind === 'restore') return ['-S', '-incoming', `fd:${machineDescriptors.state}`];
  return [
    ...['-kernel', machineFiles.kernel, '-initrd', machineFiles.initramfs],
    ...['-append', setup.start.kernelArgs],
  ];
}
