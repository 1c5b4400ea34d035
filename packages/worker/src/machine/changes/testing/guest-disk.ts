import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { DiskLayer } from '../../../qemu/argv.ts';
import { runDiskCommand } from '../../../qemu/block-nodes.ts';
import type { Machine } from '../../machine.ts';

const execute = promisify(execFile);
/** What is written at once; a text in it is filled up with one byte. */
const blockBytes = 512;

/** Runs a command of `qemu-io` on the disk of a machine that runs, since the counter uses none. */
async function diskCommand({ qmp }: Machine, command: string): Promise<void> {
  const line = `qemu-io -d /machine/peripheral/disk/virtio-backend "${command}"`;
  const printed = await runDiskCommand(qmp, 'human-monitor-command', { 'command-line': line });
  if (printed !== '') throw new Error(`${command}: ${String(printed)}`);
}

/** Writes a short text to the beginning of a machine's disk: a block for each letter. */
export async function writeDisk(machine: Machine, text: string): Promise<void> {
  for (const [index, letter] of Buffer.from(`${text}\0`).entries())
    await diskCommand(machine, `write -P ${letter} ${index * blockBytes} ${blockBytes}`);
}

/** Makes QEMU write all of a disk to its files, with their tables. */
export async function flushDisk(machine: Machine): Promise<void> {
  await diskCommand(machine, 'flush');
}

/**
 * The text on a disk that consists of these files, whoever has them open.
 * @param imageTool path of qemu-img; qemu-io is beside it
 * @param directory of the files
 */
export async function readDisk(
  imageTool: string,
  directory: string,
  { layers, top }: { layers: readonly DiskLayer[]; top?: string },
): Promise<string> {
  const files = [...layers, ...(top === undefined ? [] : [{ file: top, format: 'qcow2' }])];
  const chain = files.reduce<object | undefined>(
    (backing, { file, format }) => ({
      driver: format,
      file: { driver: 'file', filename: join(directory, file) },
      ...(format === 'qcow2' ? { backing: backing ?? null } : {}),
    }),
    undefined,
  );
  const { stdout } = await execute(join(dirname(imageTool), 'qemu-io'), [
    ...['-U', '-r', '-c', `read -v 0 ${16 * blockBytes}`],
    `json:${JSON.stringify(chain)}`,
  ]);
  // One line for each 16 bytes: the address, and the bytes.
  const bytes = [...stdout.matchAll(/^([0-9a-f]{8}):\s+([0-9a-f]{2})/gm)]
    .filter(([, address = '']) => Number.parseInt(address, 16) % blockBytes === 0)
    .map(([, , byte = '']) => Number.parseInt(byte, 16));
  return String.fromCharCode(...bytes.slice(0, bytes.indexOf(0)));
}

/** The files that QEMU uses as the disk of a machine, the oldest layer first. */
export async function liveFiles({ qmp }: Machine): Promise<string[]> {
  const blocks = (await runDiskCommand(qmp, 'query-block')) as { inserted?: { image: Image } }[];
  const files: string[] = [];
  for (let image = blocks.find(({ inserted }) => inserted)?.inserted?.image; image !== undefined;) {
    files.unshift(fileOf(image.filename));
    image = image['backing-image'];
  }
  return files;
}

interface Image {
  filename: string;
  'backing-image'?: Image;
}

/** QEMU describes what lies on other images as an object. */
function fileOf(name: string): string {
  if (!name.startsWith('json:')) return name;
  return (JSON.parse(name.slice('json:'.length)) as { file: Image }).file.filename;
}
