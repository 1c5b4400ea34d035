import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { manifestFile } from './manifest.ts';
import { sealSnapshot } from './seal.ts';
import { SnapshotStore } from './store.ts';
import { sampleManifest } from './testing/sample-manifest.ts';

async function openStore(): Promise<{ store: SnapshotStore; directory: string; trash: string }> {
  const scratch = await scratchDirectory();
  const [directory, trash] = [join(scratch, 'snapshots'), join(scratch, 'trash')];
  const store = new SnapshotStore(directory, trash);
  await store.open();
  return { store, directory, trash };
}

/** Puts a snapshot together whose disk has this content. @returns its directory */
async function staged(store: SnapshotStore, id: string, disk: string): Promise<string> {
  const staging = await store.stage(id);
  await writeFile(join(staging, 'layer-0'), disk);
  await sealSnapshot(staging, { ...sampleManifest, key: id });
  return staging;
}

test('a snapshot is found once it is published, and not before', async () => {
  const { store, directory } = await openStore();
  const id = randomUUID();
  const staging = await staged(store, id, 'disk');
  expect(await store.find(id)).toBeUndefined();
  expect(await store.list()).toEqual({ snapshots: [], damaged: [] });
  expect(await failureOf(store.get(id))).toMatchObject({ code: 'checkpoint_not_found' });
  await store.publish(staging, id);
  expect((await store.get(id)).manifest.sizes).toEqual({ 'layer-0': 4 });
  expect((await store.list()).snapshots).toMatchObject([{ id }]);
  expect(await readdir(directory)).toEqual([id]);
});

test('one of an id that is taken is refused, and the first stays as it is', async () => {
  const { store } = await openStore();
  const id = randomUUID();
  await store.publish(await staged(store, id, 'first'), id);
  const staging = await staged(store, id, 'second');
  expect(await failureOf(store.publish(staging, id))).toMatchObject({ code: 'ENOTEMPTY' });
  expect(await readFile(join(store.path(id), 'layer-0'), 'utf8')).toBe('first');
  expect(await readFile(join(staging, 'layer-0'), 'utf8')).toBe('second');
});

test('what was not published when the worker ended is gone at the next start, and nothing else', async () => {
  const { store, directory, trash } = await openStore();
  const [kept, lost] = [randomUUID(), randomUUID()];
  await store.publish(await staged(store, kept, 'kept'), kept);
  await staged(store, lost, 'lost');
  const next = new SnapshotStore(directory, trash);
  await next.open();
  expect(await readdir(directory)).toEqual([kept]);
  expect(await readdir(trash)).toEqual([]);
});

test('a snapshot that is deleted cannot be found, and one that was never there is fine', async () => {
  const { store } = await openStore();
  const id = randomUUID();
  await store.publish(await staged(store, id, 'disk'), id);
  await store.delete(id);
  await store.delete(randomUUID());
  expect(await store.find(id)).toBeUndefined();
});

test('one whose manifest is damaged is named, and hides no other', async () => {
  const { store, directory } = await openStore();
  const [whole, damaged] = [randomUUID(), randomUUID()];
  await store.publish(await staged(store, whole, 'disk'), whole);
  await mkdir(join(directory, damaged));
  await writeFile(join(directory, damaged, manifestFile), '{}');
  expect(await store.list()).toMatchObject({ snapshots: [{ id: whole }], damaged: [damaged] });
  expect(await failureOf(store.find(damaged))).toMatchObject({ code: 'snapshot_damaged' });
});
