import { describe, expect, test } from 'vitest';
import { QmpError } from '../../qemu/qmp.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { failureOf } from '../../testing/scratch.ts';
import type { Machine } from '../machine.ts';
import { NextOverlay } from './next-overlay.ts';
import { CountingHost, id, prepareCountingHosts } from './testing/counting-host.ts';
import { liveFiles } from './testing/guest-disk.ts';

/** Makes QEMU refuse a command, once it has been carried out or not. */
function refuse({ qmp }: Machine, command: string, done: boolean): void {
  const run = qmp.run.bind(qmp);
  qmp.run = async (execute, ...rest) => {
    if (execute !== command) return run(execute, ...rest);
    qmp.run = run;
    if (done) await run(execute, ...rest);
    throw new QmpError('refused');
  };
}

describe.skipIf((await missingTools()) !== undefined)('the next overlay of a disk', () => {
  prepareCountingHosts();

  /** A machine whose disk has this chain, in QEMU as in its record. */
  async function expectChain(host: CountingHost, machine: Machine, ...chain: string[]): Promise<void> {
    expect(await liveFiles(machine)).toEqual(chain);
    const { layers, top } = (await host.record()) ?? { layers: [], top: '' };
    expect([...layers.map(({ file }) => file), top]).toEqual(chain);
    expect(machine.record.top).toBe(top);
    const disks = (await host.files('machines', id, 'run-1')).filter((file) => file.startsWith('disk'));
    expect(disks).toEqual(chain.filter((file) => file.startsWith('disk')).toSorted());
  }

  test('is in the record before QEMU has it, and takes what is written once it is switched to', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    host.at('snapshot:recorded', async () => {
      expect((await host.record())?.top).toBe('disk-1.qcow2');
      expect(host.trace).not.toContain('blockdev-add');
    });
    const next = await NextOverlay.announce(host.setup, machine);
    await machine.qmp.run('stop');
    await next.switchTo();
    await machine.qmp.run('cont');
    await next.withdrawUnused();
    await expectChain(host, machine, 'layer-0', 'layer-1', 'disk.qcow2', 'disk-1.qcow2');
    await host.change(machine, 'two');
    expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
    // The old top is a layer now, with what it had.
    expect(await host.diskSays(id, { below: true })).toBe('one');
  });

  test('that is not switched to is taken back', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const next = await NextOverlay.announce(host.setup, machine);
    await next.withdrawUnused();
    await expectChain(host, machine, 'layer-0', 'layer-1', 'disk.qcow2');
    await NextOverlay.announce(host.setup, machine);
    await host.change(machine, 'two');
    expect(await host.says()).toEqual({ memory: 'two', disk: 'two' });
  });

  test.each([false, true])(
    'that QEMU refuses, having added it or not (%j), changes nothing',
    async (done) => {
      const host = await CountingHost.open();
      const machine = await host.create();
      refuse(machine, 'blockdev-add', done);
      expect((await failureOf(NextOverlay.announce(host.setup, machine))).message).toContain('refused');
      await expectChain(host, machine, 'layer-0', 'layer-1', 'disk.qcow2');
    },
  );

  test('that QEMU says it could not switch to, and did, is kept', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const next = await NextOverlay.announce(host.setup, machine);
    await machine.qmp.run('stop');
    refuse(machine, 'blockdev-snapshot', true);
    await failureOf(next.switchTo());
    await next.withdrawUnused();
    expect(host.trace).not.toContain('blockdev-del');
    await machine.qmp.run('cont');
    await expectChain(host, machine, 'layer-0', 'layer-1', 'disk.qcow2', 'disk-1.qcow2');
  });
});
