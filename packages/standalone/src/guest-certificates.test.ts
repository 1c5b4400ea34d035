import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { keepGuestCertificates } from './guest-certificates.ts';

async function place(): Promise<{ directory: string; file: string; copy: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'certificates-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  return { directory, file: join(directory, 'given.pem'), copy: join(directory, 'kept.pem') };
}

test('what the file held at the start is kept, whatever becomes of it', async () => {
  const { directory, file, copy } = await place();
  await writeFile(file, 'first');
  await chmod(file, 0o400);
  expect(await keepGuestCertificates(file, copy)).toEqual({ OPENCOMPUTER_GUEST_CA_CERTIFICATES: copy });
  await rm(file);
  expect(await readFile(copy, 'utf8')).toBe('first');
  await writeFile(file, 'second');
  // Left by a start that was interrupted.
  await writeFile(`${copy}.new`, 'half', { mode: 0o400 });
  await keepGuestCertificates(file, copy);
  expect(await readFile(copy, 'utf8')).toBe('second');
  expect((await readdir(directory)).toSorted()).toEqual(['given.pem', 'kept.pem']);
});

test('a file that cannot be copied leaves the copy that there is', async () => {
  const { file, copy } = await place();
  await writeFile(copy, 'before');
  await expect(keepGuestCertificates(file, copy)).rejects.toThrow('ENOENT');
  expect(await readFile(copy, 'utf8')).toBe('before');
});

test('without the setting there is no copy', async () => {
  const { copy } = await place();
  await writeFile(copy, 'before');
  expect(await keepGuestCertificates(undefined, copy)).toEqual({});
  await expect(readFile(copy)).rejects.toThrow('ENOENT');
  expect(await keepGuestCertificates(undefined, copy)).toEqual({});
});
