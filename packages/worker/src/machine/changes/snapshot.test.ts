import { guestPaths } from '@opencomputer/protocol';
import { describe, expect, test } from 'vitest';
import { answerJson } from '../../guest/testing/guest-agent.ts';
import { missingTools } from '../../qemu/testing/counter.ts';
import { diskFiles, findDamage, memoryFiles } from '../../snapshots/damage.ts';
import { failureOf } from '../../testing/scratch.ts';
import { steps } from '../steps.ts';
import { CountingHost, id, prepareCountingHosts, shape, spec } from './testing/counting-host.ts';
import { liveFiles, readDisk } from './testing/guest-disk.ts';
import { savedState } from './testing/guest-memory.ts';

const snapshot = '8c5a6a52-3f0a-4c27-9f4b-2d8f4a1c9e10';
const fork = 'sb-89abcdef';
/** From here on the machine writes to the next overlay. */
const switched = steps.snapshot.indexOf('switched');

/** Expects a machine that runs as before, with this disk, in QEMU as in the record. */
async function expectSound(host: CountingHost, says: string): Promise<void> {
  const machine = host.machine();
  await host.memory(machine).countsOn();
  expect(await host.says()).toEqual({ memory: says, disk: says });
  const { layers, top } = machine.record;
  expect(await liveFiles(machine)).toEqual([...layers.map(({ file }) => file), top]);
  expect(await host.record()).toEqual(machine.record);
  expect(await host.files('machines', id, 'run-1')).not.toContain('devices');
  expect(machine.gate.isOpen).toBe(true);
}

describe.skipIf((await missingTools()) !== undefined)('a snapshot of a machine', () => {
  prepareCountingHosts();

  test('holds memory and disk of one instant, and the machine goes on', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    let stoppedAt = 0;
    host.at('snapshot:stopped', async () => {
      stoppedAt = await host.memory(machine).count();
    });
    host.at('snapshot:running', () => host.change(machine, 'two'));
    const info = await host.changes.snapshot(snapshot, { machine: id, kind: 'full' });

    const important = /^(guest|stop|cont|xen|blockdev)|:(recorded|copied|published)/;
    expect(host.trace.filter((entry) => important.test(entry))).toEqual([
      'snapshot:recorded',
      'blockdev-add',
      'snapshot:copied',
      `guest: POST ${guestPaths.quiesce}`,
      'stop',
      'xen-save-devices-state',
      'blockdev-snapshot',
      'cont',
      'snapshot:published',
    ]);
    expect(info).toMatchObject({ id: snapshot, kind: 'full', ...shape, quiesced: true });
    const { directory, manifest } = await host.snapshots.get(snapshot);
    const files = [...memoryFiles, ...diskFiles(manifest)];
    expect(Object.keys(manifest.digests ?? {}).toSorted()).toEqual(files.toSorted());
    expect(await findDamage(host.setup, { directory, manifest }, files)).toBeUndefined();
    expect(await savedState(`${directory}/ram`)).toEqual({ count: stoppedAt, mark: 'one' });
    const layers = manifest.layers.map((format, index) => ({ file: `layer-${index}`, format }));
    expect(await readDisk(host.setup.qemu.imagePath, directory, { layers })).toBe('one');
    expect(await host.files('snapshots')).toEqual([snapshot]);

    await expectSound(host, 'two');
    expect(machine.record.layers).toHaveLength(3);
    expect(host.machine()).toBe(machine);
    await host.changes.create(fork, { ...spec, snapshot });
    expect(await host.says(host.machine(fork))).toEqual({ memory: 'one', disk: 'one' });
  });

  test('of the disk alone has no memory, and is taken without a look at it', async () => {
    const host = await CountingHost.open();
    await host.create();
    const info = await host.changes.snapshot(snapshot, { machine: id, kind: 'disk_only' });
    expect(info.kind).toBe('disk_only');
    expect(host.trace).not.toContain('xen-save-devices-state');
    expect(await host.files('snapshots', snapshot)).toEqual([
      'layer-0',
      'layer-1',
      'layer-2',
      'manifest.json',
    ]);
    await expectSound(host, 'one');
  });

  test.each(steps.snapshot.slice(0, -1))(
    'that fails at the step %s is not there; the machine goes on, and the next one succeeds',
    async (step) => {
      const host = await CountingHost.open();
      const machine = await host.create();
      const { layers } = machine.record;
      const mend = host.failAt(`snapshot:${step}`);
      const taken = host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
      expect(await failureOf(taken)).toMatchObject({ code: 'snapshot_failed' });
      expect(await host.files('snapshots')).toEqual([]);
      expect(await host.files('trash')).toEqual([]);
      const added = steps.snapshot.indexOf(step) < switched ? 0 : 1;
      expect(machine.record.layers).toHaveLength(layers.length + added);
      expect(
        (await host.files('machines', id, 'run-1')).filter((file) => file.startsWith('disk')),
      ).toHaveLength(1 + added);
      await host.change(machine, 'two');
      await expectSound(host, 'two');

      mend();
      await host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
      await host.changes.create(fork, { ...spec, snapshot });
      expect(await host.says(host.machine(fork))).toEqual({ memory: 'two', disk: 'two' });
    },
  );

  test('of a guest that does not come to rest says so, or is refused where that is demanded', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    host.port.answer = ({ stream }) => answerJson(stream, { code: 'internal', message: 'no' }, 500);
    const demanded = { machine: id, kind: 'full', requireQuiesced: true } as const;
    expect(await failureOf(host.changes.snapshot(snapshot, demanded))).toMatchObject({
      code: 'snapshot_failed',
      message: expect.stringContaining('did not come to rest') as string,
    });
    expect(await host.files('snapshots')).toEqual([]);
    expect(machine.record.layers).toHaveLength(2);
    await expectSound(host, 'one');
    const info = await host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
    expect(info.quiesced).toBe(false);
  });

  test('with an id that is taken is the one that is there', async () => {
    const host = await CountingHost.open();
    const machine = await host.create();
    const first = await host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
    host.trace.length = 0;
    expect(await host.changes.snapshot(snapshot, { machine: id, kind: 'full' })).toEqual(first);
    expect(host.trace).toEqual([]);
    expect(machine.record.layers).toHaveLength(3);
  });

  test('of a machine that does not run is refused', async () => {
    const host = await CountingHost.open();
    await host.create();
    await host.changes.hibernate(id);
    const taken = host.changes.snapshot(snapshot, { machine: id, kind: 'full' });
    expect(await failureOf(taken)).toMatchObject({ code: 'hibernated' });
    expect(await host.files('snapshots')).toEqual([]);
  });
});
