import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DiskLayer, machineArgv, type MachineSetup } from './argv.ts';
import { kernelArgs } from './kernel-args.ts';

const old = { readonlyRam: false };
const recent = { readonlyRam: true };

const restoreUnderKvm: MachineSetup = {
  name: 'opencomputer-0123abcd-sb-01234567',
  features: old,
  accelerator: 'kvm',
  cpuModel: 'host,-arch-capabilities',
  cpuCount: 2,
  memoryMB: 1024,
  ram: 'private',
  layers: [
    { file: 'layer-0', format: 'raw' },
    { file: 'layer-1', format: 'qcow2' },
  ],
  top: 'disk.qcow2',
  network: ['-netdev', 'tap,id=net0,ifname=tap0,script=no,downscript=no'],
  guestMac: '52:54:00:6f:63:01',
  start: { kind: 'restore' },
};
const bootUnderTcg: MachineSetup = {
  ...restoreUnderKvm,
  accelerator: 'tcg',
  cpuModel: 'max',
  cpuCount: 1,
  ram: 'shared',
  layers: [{ file: 'layer-0', format: 'raw' }],
  start: { kind: 'boot', kernelArgs: 'console=ttyS0 quiet' },
};

/** The values of an option, in order. */
function values(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (word === option ? [argv[index + 1] ?? ''] : []));
}

/** The one value of an option. */
function value(setup: Partial<MachineSetup>, option: string): string {
  const found = values(machineArgv({ ...restoreUnderKvm, ...setup }), option);
  expect(found).toHaveLength(1);
  return found[0] ?? '';
}

function blockNodes(layers: readonly DiskLayer[]): Record<string, unknown>[] {
  return values(machineArgv({ ...restoreUnderKvm, layers }), '-blockdev').map(
    (node) => JSON.parse(node) as Record<string, unknown>,
  );
}

const common = {
  before: [
    '-name opencomputer-0123abcd-sb-01234567',
    '-no-user-config',
    '-nodefaults',
    '-display none',
    '-machine q35,suppress-vmdesc=on,memory-backend=ram,vmport=off,smbus=off,sata=off,hpet=off',
  ],
  middle: [
    '-global migration.send-configuration=off',
    '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    '-action reboot=shutdown',
    '-rtc base=utc',
    '-chardev ringbuf,id=console,size=65536',
    '-serial chardev:console',
    '-chardev socket,id=qmp,fd=4,server=on,wait=off',
    '-mon chardev=qmp,mode=control',
    '-chardev socket,id=agent,fd=5,server=on,wait=off',
    '-device virtio-serial-pci,id=serial,addr=0x4,max_ports=2',
    '-device virtserialport,id=agent,bus=serial.0,nr=1,chardev=agent,name=opencomputer.agent',
  ],
  after: [
    '-netdev tap,id=net0,ifname=tap0,script=no,downscript=no',
    '-device virtio-net-pci,netdev=net0,mac=52:54:00:6f:63:01,romfile=,guest_announce=off,addr=0x3',
    '-object rng-random,id=rng0,filename=/dev/urandom',
    '-device virtio-rng-pci,rng=rng0,addr=0x5',
    '-device vmgenid,guid=auto',
  ],
};

/** One option per line, as a person would write it. */
function lines(argv: readonly string[]): string[] {
  const result: string[] = [];
  for (const word of argv)
    if (word.startsWith('-')) result.push(word);
    else result.push(`${result.pop() ?? ''} ${word}`);
  return result;
}

describe('the whole command line', () => {
  test('of a machine restored under KVM', () => {
    expect(lines(machineArgv(restoreUnderKvm))).toEqual([
      ...common.before,
      '-accel kvm',
      '-cpu host,-arch-capabilities',
      '-smp 2',
      '-m 1024M',
      '-object memory-backend-file,id=ram,size=1024M,mem-path=ram,share=off',
      ...common.middle,
      '-blockdev {"driver":"raw","node-name":"layer0","read-only":true,"file":{"driver":"file","filename":"layer-0","read-only":true}}',
      '-blockdev {"driver":"qcow2","node-name":"layer1","read-only":true,"file":{"driver":"file","filename":"layer-1","read-only":true},"backing":"layer0"}',
      '-blockdev {"driver":"qcow2","node-name":"disk2","discard":"unmap","detect-zeroes":"unmap","file":{"driver":"file","filename":"disk.qcow2","discard":"unmap"},"backing":"layer1"}',
      '-device virtio-blk-pci,id=disk,drive=disk2,addr=0x2',
      ...common.after,
      '-S',
      '-incoming fd:3',
    ]);
  });

  test('of a template that boots under emulation', () => {
    expect(lines(machineArgv(bootUnderTcg))).toEqual([
      ...common.before,
      '-accel tcg,thread=multi,tb-size=256',
      '-cpu max',
      '-smp 1',
      '-m 1024M',
      '-object memory-backend-file,id=ram,size=1024M,mem-path=ram,share=on',
      ...common.middle,
      '-blockdev {"driver":"raw","node-name":"layer0","read-only":true,"file":{"driver":"file","filename":"layer-0","read-only":true}}',
      '-blockdev {"driver":"qcow2","node-name":"disk1","discard":"unmap","detect-zeroes":"unmap","file":{"driver":"file","filename":"disk.qcow2","discard":"unmap"},"backing":"layer0"}',
      '-device virtio-blk-pci,id=disk,drive=disk1,addr=0x2',
      ...common.after,
      '-kernel kernel',
      '-initrd initramfs',
      '-append console=ttyS0 quiet',
    ]);
  });
});

describe('each part of a setup', () => {
  test('name', () => expect(value({ name: 'other-1' }, '-name')).toBe('other-1'));

  test('accelerator and processor', () => {
    expect(value({ accelerator: 'kvm' }, '-accel')).toBe('kvm');
    expect(value({ accelerator: 'tcg' }, '-accel')).toMatch(/^tcg,thread=multi,tb-size=\d+$/);
    expect(value({ cpuModel: 'max' }, '-cpu')).toBe('max');
    expect(value({ cpuCount: 4 }, '-smp')).toBe('4');
  });

  test.each([
    ['shared', old, 'share=on'],
    ['shared', recent, 'share=on'],
    ['private', old, 'share=off'],
    ['private', recent, 'share=off,readonly=on,rom=off'],
  ] as const)('%s memory with %j is %s', (ram, features, expected) => {
    const argv = machineArgv({ ...restoreUnderKvm, ram, features, memoryMB: 384 });
    expect(values(argv, '-m')).toEqual(['384M']);
    expect(values(argv, '-object')[0]).toBe(`memory-backend-file,id=ram,size=384M,mem-path=ram,${expected}`);
  });

  test.each([1, 2, 3, 4, 5])('%i layers make one chain, read-only but for its top', (count) => {
    const layers = Array.from({ length: count }, (_, index) => ({
      file: `layer-${index}`,
      format: index === 0 ? ('raw' as const) : ('qcow2' as const),
    }));
    const nodes = blockNodes(layers);
    expect(nodes).toHaveLength(count + 1);
    const top = nodes.pop();
    expect(top).toMatchObject({ 'node-name': `disk${count}`, driver: 'qcow2', backing: `layer${count - 1}` });
    expect(top).not.toHaveProperty('read-only');
    nodes.forEach((node, index) => {
      expect(node).toMatchObject({
        'node-name': `layer${index}`,
        driver: index === 0 ? 'raw' : 'qcow2',
        'read-only': true,
        file: { driver: 'file', filename: `layer-${index}`, 'read-only': true },
      });
      // A raw image has no backing file, and QEMU refuses the option.
      if (index === 0) expect(node).not.toHaveProperty('backing');
      else expect(node['backing']).toBe(`layer${index - 1}`);
    });
  });

  test('a lowest layer that is an overlay has nothing below it, whatever its header says', () => {
    const [lowest] = blockNodes([{ file: 'layer-0', format: 'qcow2' }]);
    expect(lowest).toHaveProperty('backing', null);
  });

  test('no layers: no disk', () => {
    const argv = machineArgv({ ...restoreUnderKvm, layers: [] });
    expect(values(argv, '-blockdev')).toEqual([]);
    expect(argv.some((word) => word.includes('virtio-blk'))).toBe(false);
  });

  test('no network: no card', () => {
    const argv = machineArgv({ ...restoreUnderKvm, network: [] });
    expect(argv.some((word) => word.includes('virtio-net') || word.includes('netdev'))).toBe(false);
    expect(value({ guestMac: '52:54:00:00:00:09' }, '-netdev')).toContain('id=net0');
    expect(
      values(machineArgv({ ...restoreUnderKvm, guestMac: '52:54:00:00:00:09' }), '-device'),
    ).toContainEqual(expect.stringContaining('mac=52:54:00:00:00:09'));
  });

  test('a restored machine starts no kernel, waits for the word to run, and reads descriptor 3', () => {
    const argv = machineArgv(restoreUnderKvm);
    expect(argv).not.toContain('-kernel');
    expect(argv).toContain('-S');
    expect(values(argv, '-incoming')).toEqual(['fd:3']);
  });

  test('a booted machine runs at once; its kernel’s words are one argument', () => {
    const argv = machineArgv({ ...bootUnderTcg, start: { kind: 'boot', kernelArgs: 'a=b,c -S --x "q"' } });
    expect(argv).not.toContain('-S');
    expect(argv).not.toContain('-incoming');
    expect(values(argv, '-append')).toEqual(['a=b,c -S --x "q"']);
  });

  test('devices sit where they sat when the snapshot was made, with and without their neighbours', () => {
    const place = (setup: Partial<MachineSetup>): Record<string, string> =>
      Object.fromEntries(
        values(machineArgv({ ...restoreUnderKvm, ...setup }), '-device').flatMap((device) => {
          const address = /addr=(0x\d)/.exec(device)?.[1];
          return address === undefined ? [] : [[device.split(',')[0], address]];
        }),
      );
    const all = place({});
    expect(all).toEqual({
      'virtio-blk-pci': '0x2',
      'virtio-net-pci': '0x3',
      'virtio-serial-pci': '0x4',
      'virtio-rng-pci': '0x5',
    });
    expect(place({ layers: [], network: [] })).toEqual({
      'virtio-serial-pci': '0x4',
      'virtio-rng-pci': '0x5',
    });
  });
});

test('the emulated guest’s kernel is spared its mitigations, the real one is not', () => {
  expect(kernelArgs('kvm')).toContain('root=/dev/vda');
  expect(kernelArgs('kvm')).not.toContain('mitigations');
  expect(kernelArgs('tcg')).toContain('mitigations=off');
  expect(kernelArgs('tcg')).toContain('panic=-1');
});

describe('whatever the setup', () => {
  const awkward = fc.oneof(
    fc.string(),
    fc.constantFrom('a,b', 'x,share=on', '-S', '--', 'id=x', '"', '\\', '../x', "'"),
  );
  const setups: fc.Arbitrary<MachineSetup> = fc.record({
    name: fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,40}$/),
    features: fc.record({ readonlyRam: fc.boolean() }),
    accelerator: fc.constantFrom('kvm', 'tcg'),
    cpuModel: fc.constantFrom('host', 'host,-arch-capabilities', 'max'),
    cpuCount: fc.integer({ min: 1, max: 64 }),
    memoryMB: fc.integer({ min: 1, max: 1024 * 1024 }),
    ram: fc.constantFrom('shared', 'private'),
    layers: fc.array(fc.record({ file: awkward, format: fc.constantFrom('raw', 'qcow2') }), { maxLength: 6 }),
    top: awkward,
    network: fc.constantFrom([], ['-netdev', 'user,id=net0']),
    guestMac: fc.constant('52:54:00:6f:63:01'),
    start: fc.oneof(
      fc.constant({ kind: 'restore' } as const),
      awkward.map((text) => ({ kind: 'boot' as const, kernelArgs: text })),
    ),
  });

  test('the same setup gives the same list, and is left as it was', () => {
    fc.assert(
      fc.property(setups, (setup) => {
        const copy = structuredClone(setup);
        expect(machineArgv(setup)).toEqual(machineArgv(copy));
        expect(setup).toEqual(copy);
      }),
    );
  });

  test('the names of files appear only as JSON strings, and nothing else than the fixed words is an option', () => {
    const options = new Set(
      [...machineArgv(restoreUnderKvm), ...machineArgv(bootUnderTcg)].filter((word) =>
        /^-[a-z]|^-S$/.test(word),
      ),
    );
    fc.assert(
      fc.property(setups, (setup) => {
        const argv = machineArgv(setup);
        for (let at = 0; at < argv.length; at++) {
          const option = argv[at] ?? '';
          expect(options).toContain(option);
          if (!['-S', '-nodefaults', '-no-user-config'].includes(option)) at++;
        }
        const files = values(argv, '-blockdev').map(
          (node) => (JSON.parse(node) as { file: { filename: string } }).file.filename,
        );
        expect(files).toEqual(
          setup.layers.length === 0 ? [] : [...setup.layers.map(({ file }) => file), setup.top],
        );
      }),
    );
  });

  test.each(['a,debug-threads=on', 'a=b', '-S', 'a b', 'a\nb', 'a\0b', '../a', 'ü', ',', 'x'.repeat(129)])(
    'a name that QEMU or a reader of its command line could take for more is refused: %j',
    (name) => {
      expect(() => machineArgv({ ...restoreUnderKvm, name })).toThrow('name');
    },
  );
});
