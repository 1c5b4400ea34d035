import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { OverlayStock } from '../disk/overlay.ts';
import { NotOurFile } from '../host/untrusted-file.ts';
import { failureOf, scratchDirectory } from '../testing/scratch.ts';
import { closeRunDirectory, makeOverlay, makeRunDirectory } from './run-directory.ts';
import { assertSocket, handOver, makeFileFor, sealFile, takeFile } from './run-files.ts';

const execute = promisify(execFile);
const root = process.getuid?.() === 0;
const uid = 345_678;
const other = 345_679;

/** The directories of a machine: its own, which only we can use, and that of its run, in which QEMU works. */
async function machine(): Promise<{ directory: string; run: string; stock: OverlayStock }> {
  const directory = join(await scratchDirectory(), 'sb-01234567');
  await mkdir(directory, { mode: 0o700 });
  const run = join(directory, 'run-1');
  await makeRunDirectory(run, uid);
  return { directory, run, stock: new OverlayStock(join(directory, '..', 'stock'), 'qemu-img') };
}

/** Runs a line of shell like an attacker who controls QEMU: with its user, in its directory, without privileges. */
async function asQemu(run: string, line: string): Promise<{ ok: boolean; printed: string }> {
  const user = [
    `--reuid=${uid}`,
    `--regid=${uid}`,
    '--clear-groups',
    '--no-new-privs',
    '--bounding-set=-all',
  ];
  try {
    const { stdout, stderr } = await execute('setpriv', [...user, 'sh', '-c', line], { cwd: run });
    return { ok: true, printed: stdout + stderr };
  } catch (error) {
    return { ok: false, printed: String((error as { stderr?: unknown }).stderr) };
  }
}

describe.skipIf(!root)('code that has escaped into QEMU', () => {
  test('reads and writes the files of its machine, and can add, replace and remove none', async () => {
    const { run, stock } = await machine();
    await makeOverlay(join(run, 'disk.qcow2'), stock, 64, uid);
    await makeFileFor(uid, join(run, 'devices'), 0);
    await writeFile(join(run, 'ram'), 'shared', { mode: 0o644 });
    const before = await readdir(run);
    expect((await asQemu(run, 'echo state > devices; cat devices ram')).printed).toBe('state\nshared');
    for (const line of [
      'ln -s /etc/passwd next',
      'ln -sf ../../sb-76543210/run-1/agent.sock agent.sock',
      'ln ram devices',
      'ln -f ram disk-1.qcow2',
      'mkfifo disk-1.qcow2',
      'touch qmp.sock',
      'mkdir folder',
      'rm -f disk.qcow2',
      'rm -f devices',
      'mv disk.qcow2 disk-1.qcow2',
      'mv -f devices disk.qcow2',
      'chmod 777 .',
    ])
      expect([line, (await asQemu(run, line)).ok]).toEqual([line, false]);
    expect(await readdir(run)).toEqual(before);
    expect((await stat(run)).mode & 0o7777).toBe(0o711);
    expect((await stat(run)).uid).toBe(0);
  });

  test('cannot have an overlay made where its link leads: it is made elsewhere and renamed', async () => {
    const { directory, run, stock } = await machine();
    const stolen = join(directory, '..', 'stolen');
    // As an older worker, which let machines write there, has left it.
    await symlink(stolen, join(run, 'disk-1.qcow2'));
    await makeOverlay(join(run, 'disk-1.qcow2'), stock, 64, uid);
    await expect(lstat(stolen)).rejects.toThrow('ENOENT');
    const made = await lstat(join(run, 'disk-1.qcow2'));
    expect([made.isFile(), made.uid, made.mode & 0o777, made.nlink]).toEqual([true, uid, 0o600, 1]);
    expect(await readdir(directory)).toEqual(['run-1']);
  });

  test('in a directory of an older worker it is locked out', async () => {
    const { run } = await machine();
    await chmod(run, 0o1777);
    expect((await asQemu(run, 'ln -s /etc/passwd agent.sock')).ok).toBe(true);
    await closeRunDirectory(run, uid);
    expect((await asQemu(run, 'rm agent.sock')).ok).toBe(false);
    const error = await failureOf(assertSocket(join(run, 'agent.sock')));
    expect(error.message).toContain('agent.sock is no socket');
  });
});

describe('taking what a machine wrote', () => {
  test('makes it ours and immutable, and again only durable', async () => {
    const path = join(await scratchDirectory(), 'devices');
    await makeFileFor(root ? uid : undefined, path, 4096);
    for (let round = 0; round < 2; round++) {
      await takeFile(path, 0o400, 1);
      const { uid: owner, mode, size } = await stat(path);
      expect([owner, mode & 0o777, size]).toEqual([process.getuid?.(), 0o400, 4096]);
    }
  });

  test('a link, a pipe or a second name in its place is refused, and nothing is changed', async () => {
    const directory = await scratchDirectory();
    const image = join(directory, 'image');
    await writeFile(image, 'memory that others map');
    await chmod(image, 0o666);
    const path = join(directory, 'devices');
    for (const replace of [
      () => symlink(image, path),
      () => execute('mkfifo', [path]),
      () => link(image, path),
    ]) {
      await replace();
      expect(await failureOf(takeFile(path, 0o400, 1))).toBeInstanceOf(NotOurFile);
      if (root) expect(await failureOf(handOver(path, uid))).toBeInstanceOf(NotOurFile);
      await rm(path);
      expect((await stat(image)).mode & 0o777).toBe(0o666);
      expect((await stat(image)).uid).toBe(process.getuid?.());
    }
    expect(await readFile(image, 'utf8')).toBe('memory that others map');
  });

  test.skipIf(!root)(
    'a layer may have many names, but an image that machines share is no layer',
    async () => {
      const directory = await scratchDirectory();
      const layer = join(directory, 'disk-1.qcow2');
      await makeFileFor(uid, layer, 10);
      await link(layer, join(directory, 'layer-3'));
      await takeFile(layer, 0o444);
      expect((await stat(join(directory, 'layer-3'))).uid).toBe(0);
      const image = join(directory, 'image');
      await writeFile(image, '');
      await chmod(image, 0o666);
      await link(image, join(directory, 'disk-2.qcow2'));
      await expect(takeFile(join(directory, 'disk-2.qcow2'), 0o444)).rejects.toThrow(
        'no machine has written it',
      );
      expect((await stat(image)).mode & 0o777).toBe(0o666);
    },
  );

  test.skipIf(!root)('what we have written ourselves is sealed only if we have', async () => {
    const path = join(await scratchDirectory(), 'ram');
    await writeFile(path, '');
    await sealFile(path, 0o444);
    expect((await stat(path)).mode & 0o777).toBe(0o444);
    await chown(path, uid, uid);
    await expect(sealFile(path, 0o444)).rejects.toThrow(`belongs to user ${uid}`);
  });

  test.skipIf(!root)('a disk goes from one user to the next', async () => {
    const path = join(await scratchDirectory(), 'disk.qcow2');
    await makeFileFor(uid, path, 10);
    await handOver(path, other);
    expect((await stat(path)).uid).toBe(other);
  });
});

test('a crash while an overlay is made leaves a file that recovery knows', async () => {
  const directory = await mkdtemp(join(await scratchDirectory(), 'm-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const stock = new OverlayStock(join(directory, 'stock'), 'qemu-img');
  // The rename fails, and the new file is removed.
  await expect(makeOverlay(join(directory, 'missing', 'disk'), stock, 64, undefined)).rejects.toThrow(
    'ENOENT',
  );
  expect((await readdir(directory)).filter((name) => name.startsWith('.overlay-'))).toEqual([]);
});
