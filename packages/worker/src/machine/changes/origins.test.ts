import { cp, link, mkdir, readdir, rm, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { missingTools } from '../../qemu/testing/counter.ts';
import { TemplateStore } from '../../templates/store.ts';
import { flipBit } from '../../testing/damage.ts';
import { failureOf } from '../../testing/scratch.ts';
import { Origins, startsFrom } from './origins.ts';
import { CountingHost, id, prepareCountingHosts, spec } from './testing/counting-host.ts';

const snapshot = '8c5a6a52-3f0a-4c27-9f4b-2d8f4a1c9e10';

/** A host with a snapshot. @returns also where its files are */
async function saved(kind: 'full' | 'disk_only' = 'full') {
  const host = await CountingHost.open();
  await host.create();
  await host.changes.snapshot(snapshot, { machine: id, kind });
  const origins = new Origins(host.setup, host.templates, host.snapshots);
  const path = (file: string): string => join(host.snapshots.path(snapshot), file);
  return { host, origins, path };
}

describe.skipIf((await missingTools()) !== undefined)('the origin of a machine', () => {
  prepareCountingHosts();

  test('is the template of its shape', async () => {
    const host = await CountingHost.open();
    const origins = new Origins(host.setup, host.templates, host.snapshots);
    const origin = await origins.find(spec);
    expect(origin.manifest).toMatchObject({ name: 'base', layers: ['raw', 'qcow2'], memory: true });
    expect(startsFrom(origin)).toBe('memory');
    const unknown = origins.find({ ...spec, template: 'none' });
    expect(await failureOf(unknown)).toMatchObject({ code: 'template_not_found' });
  });

  test('is no template whose root file system is damaged', async () => {
    const host = await CountingHost.open();
    // A template of its own: the other tests use theirs.
    const { directory: from } = await host.templates.get('base', spec);
    const to = host.path('templates', basename(from));
    await mkdir(to, { recursive: true });
    for (const file of await readdir(from))
      await (file === 'layer-0' ? cp : link)(join(from, file), join(to, file));
    const origins = new Origins(
      host.setup,
      new TemplateStore(host.path('templates'), host.setup),
      host.snapshots,
    );
    await origins.find(spec);
    await truncate(join(to, 'layer-0'), 512);
    expect(await failureOf(origins.find(spec))).toMatchObject({
      code: 'creation_failed',
      hint: expect.stringContaining('the image is built again') as string,
    });
  });

  test('is a snapshot with its memory, where that can be restored', async () => {
    const { host, origins } = await saved();
    const origin = await origins.find({ ...spec, snapshot });
    expect(origin).toMatchObject({ directory: host.snapshots.path(snapshot), coldBootReason: undefined });
    expect(startsFrom(origin)).toBe('memory');
    expect(await origins.snapshot(snapshot, spec)).toEqual(origin);
  });

  test('is the disk of a snapshot that has no memory, which is no reason to mention', async () => {
    const { origins } = await saved('disk_only');
    const origin = await origins.snapshot(snapshot, spec);
    expect(origin.coldBootReason).toBeUndefined();
    expect(startsFrom(origin)).toBe('disk');
  });

  test.each([
    ['changed', (path: string) => flipBit(path, 100), 'is damaged'],
    ['cut off', (path: string) => truncate(path, 10), 'instead of'],
    ['lost', (path: string) => rm(path), 'is missing'],
  ] as const)(
    'is the disk alone where files of the memory were %s, and says why',
    async (_how, damage, reason) => {
      const { origins, path } = await saved();
      await damage(path('devices'));
      const origin = await origins.snapshot(snapshot, spec);
      expect(startsFrom(origin)).toBe('disk');
      expect(origin.coldBootReason).toContain(reason);
    },
  );

  test('is the disk alone where the memory was saved by another kind of host', async () => {
    const { host } = await saved();
    const acceleration = { ...host.setup.acceleration, cpuModel: 'qemu64' };
    const other = { ...host.setup, acceleration };
    const origins = new Origins(other, new TemplateStore(host.templatesDirectory, other), host.snapshots);
    const origin = await origins.snapshot(snapshot, spec);
    expect(startsFrom(origin)).toBe('disk');
    expect(origin.coldBootReason).toContain('another CPU model');
  });

  test('is no snapshot whose disk is damaged, of another shape, or that is not there', async () => {
    const { origins, path } = await saved();
    for (const field of ['cpuCount', 'memoryMB', 'diskMB'] as const)
      expect(
        await failureOf(origins.snapshot(snapshot, { ...spec, [field]: spec[field] + 1 })),
      ).toMatchObject({
        code: 'conflict',
        message: expect.stringContaining(field) as string,
      });
    const missing = '00000000-3f0a-4c27-9f4b-2d8f4a1c9e10';
    expect(await failureOf(origins.snapshot(missing, spec))).toMatchObject({ code: 'checkpoint_not_found' });
    await flipBit(path('layer-2'), -1);
    expect(await failureOf(origins.snapshot(snapshot, spec))).toMatchObject({
      code: 'snapshot_damaged',
      message: expect.stringContaining('layer-2') as string,
    });
  });
});
