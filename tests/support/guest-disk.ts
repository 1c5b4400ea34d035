import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestMachine } from './test-machine.ts';

const execute = promisify(execFile);

interface Layer {
  file: string;
  format: string;
}

interface Record {
  run: number;
  layers: Layer[];
  top: string;
}

interface Node {
  driver: string;
  file: { driver: string; filename: string };
  backing?: Node;
}

/**
 * Checks the file system of a machine that does not run: on a copy of its disk, so that nobody repairs what is looked
 * at. What any boot does first, the replay of the journal, is done; nothing else may be left to do.
 * @param look sees the files of the copy
 * @throws Error with what e2fsck says
 */
export async function checkFileSystem(
  machine: TestMachine,
  look: (directory: string) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const directory = machine.worker.directory(machine.id);
  const record = JSON.parse(readFileSync(join(directory, 'machine.json'), 'utf8')) as Record;
  const run = join(directory, `run-${record.run}`);
  const chain: Layer[] = [...record.layers, { file: record.top, format: 'qcow2' }];
  // The files name no backing files; QEMU is told the chain.
  const disk = chain.reduce<Node | undefined>(
    (backing, { file, format }) => ({
      driver: format,
      file: { driver: 'file', filename: join(run, file) },
      ...(backing === undefined ? {} : { backing }),
    }),
    undefined,
  );
  const copy = join(machine.worker.dataDir, `${machine.id}.raw`);
  try {
    await execute('qemu-img', ['convert', '-O', 'raw', `json:${JSON.stringify(disk)}`, copy]);
    await execute('e2fsck', ['-E', 'journal_only', '-y', copy]).catch(unlessRepaired);
    await execute('e2fsck', ['-f', '-n', copy]);
    await withFilesOf(copy, look);
  } catch (error) {
    const { message, stdout } = error as Error & { stdout?: string };
    throw new Error(`${message}\n${stdout ?? ''}`, { cause: error });
  } finally {
    await rm(copy, { force: true });
  }
}

/** Mounts an image for the time of `look`, so that nothing is written to it. */
export async function withFilesOf<Result>(
  image: string,
  look: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), 'opencomputer-files-'));
  try {
    await execute('mount', ['-o', 'loop,ro,noload', image, directory]);
    try {
      return await look(directory);
    } finally {
      await execute('umount', [directory]);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** e2fsck ends with 1 when it has replayed the journal. */
function unlessRepaired(error: Error & { code?: unknown }): void {
  if (error.code !== 1) throw error;
}
