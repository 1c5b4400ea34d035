import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import { Integrity } from '../host/integrity.ts';
import { scratchDirectory, until } from '../testing/scratch.ts';
import { diskFiles, digestsOf, findDamage, memoryFiles, verifyLayers } from './damage.ts';
import { readManifest } from './manifest.ts';
import { sealSnapshot } from './seal.ts';
import { sampleManifest } from './testing/sample-manifest.ts';

const log = pino({ level: 'silent' });
const names = ['ram', 'devices', 'layer-0', 'layer-1'];
let directory: string;
let snapshot: { directory: string; manifest: typeof sampleManifest };
/** The files seen by a worker that has not written them. */
let verifier: { integrity: Integrity; log: typeof log };

beforeEach(async () => {
  directory = await scratchDirectory();
  for (const name of names) await writeFile(join(directory, name), `content of ${name}`);
  await writeFile(join(directory, 'ram.sums'), 'sums');
  const digests = await digestsOf(new Integrity('qemu-img'), directory, names);
  snapshot = { directory, manifest: await sealSnapshot(directory, { ...sampleManifest, digests }) };
  verifier = { integrity: new Integrity('qemu-img'), log };
});

test('a snapshot that is whole has no damage', async () => {
  expect(await readManifest(directory)).toEqual(snapshot.manifest);
  expect(Object.keys(snapshot.manifest.sizes).toSorted()).toEqual(names.toSorted());
  expect(diskFiles(snapshot.manifest)).toEqual(['layer-0', 'layer-1']);
  expect(await findDamage(verifier, snapshot, names)).toBeUndefined();
});

test.each(['ram', 'devices', 'layer-1'])('%s that is flipped, cut off or missing is named', async (name) => {
  const path = join(directory, name);
  const own = memoryFiles.includes(name) ? memoryFiles : diskFiles(snapshot.manifest);
  const others = names.filter((other) => !own.includes(other));
  await writeFile(path, `Content of ${name}`);
  expect(await findDamage(verifier, snapshot, own)).toBe(
    `the file ${name} is damaged: its bytes are not those that were written`,
  );
  await truncate(path, 3);
  expect(await findDamage(verifier, snapshot, own)).toMatch(
    `the file ${name} is damaged: it has 3 bytes instead of`,
  );
  await rm(path);
  expect(await findDamage(verifier, snapshot, own)).toBe(`the file ${name} is missing`);
  expect(await findDamage(verifier, snapshot, others)).toBeUndefined();
});

test('the root file system is verified while it is used, then refused', async () => {
  await writeFile(join(directory, 'layer-0'), 'Content of layer-0');
  expect(await findDamage(verifier, snapshot, ['layer-0'])).toBeUndefined();
  await until(async () => (await findDamage(verifier, snapshot, ['layer-0'])) !== undefined);
  const layers = [
    { file: 'layer-0', format: 'raw' as const, digest: snapshot.manifest.digests?.['layer-0'] },
  ];
  await expect(verifyLayers(verifier, directory, layers)).rejects.toThrow('the file layer-0 is damaged');
});

test('snapshots of older workers, without digests, are checked for their sizes', async () => {
  const { digests: _digests, ...older } = snapshot.manifest;
  const old = { directory, manifest: older };
  await writeFile(join(directory, 'ram'), 'Content of ram');
  expect(await findDamage(verifier, old, names)).toBeUndefined();
  await truncate(join(directory, 'ram'), 3);
  expect(await findDamage(verifier, old, names)).toMatch('the file ram is damaged: it has 3 bytes');
  await verifyLayers(verifier, directory, [{ file: 'layer-1', format: 'qcow2' }]);
});

test('layers of a machine are checked under the names that it has for them', async () => {
  const digest = snapshot.manifest.digests?.['layer-1'];
  const layers = [{ file: 'layer-1', format: 'qcow2' as const, digest }];
  await verifyLayers(verifier, directory, layers);
  await writeFile(join(directory, 'layer-1'), 'Content of layer-1');
  await expect(verifyLayers(verifier, directory, layers)).rejects.toThrow('the file layer-1 is damaged');
});
