import { execFile } from 'node:child_process';
import { closeSync, constants, openSync, read, readFileSync, readSync, write, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ByteRange } from '../host/checksums.ts';
import { programPath } from '../host/programs.ts';
import type { QemuFeatures } from '../host/qemu.ts';
import { openUntrusted, pathOfHandle, withUntrusted } from '../host/untrusted-file.ts';

const execute = promisify(execFile);

const pageBytes = 4096;
const entryBytes = 8;
/** Largest run of pages that is copied at once. */
const runBytes = 1024 * 1024;
/** Runs of this size and more are copied by other threads. */
const longBytes = 256 * 1024;
/** How long the event loop may be blocked by copying. */
const turnMs = 5;

/** Bits of an entry of /proc/PID/pagemap (Linux, Documentation/admin-guide/mm/pagemap.rst), in its upper 32 bits. */
const presentOrSwapped = 0b11 << 30;
const fileOrShared = 1 << 29;

interface Mapping {
  start: number;
  end: number;
}

/**
 * The address at which a process has mapped all of the RAM file. The kernel lists a mapping in pieces where flags
 * differ, and a file of another file system may have the same inode number: only pieces that make up the whole file
 * count.
 */
export function findMapping(maps: string, file: { inode: number; size: number }): Mapping | undefined {
  let found: Mapping | undefined;
  for (const line of maps.split('\n')) {
    const [range = '', , offset = '', , inode] = line.split(/\s+/);
    if (Number(inode) !== file.inode) continue;
    const [start = 0, end = 0] = range.split('-').map((hex) => Number.parseInt(hex, 16));
    const fileOffset = Number.parseInt(offset, 16);
    if (found !== undefined && start === found.end && fileOffset === start - found.start) found.end = end;
    else found = fileOffset === 0 ? { start, end } : undefined;
    if (found !== undefined && found.end - found.start === file.size) return found;
  }
  return undefined;
}

/**
 * The runs of pages that a process has written in a private mapping of a file: present, and no longer backed by the
 * file.
 * @param pagemap its entries, 8 bytes a page
 * @returns pairs of page number and number of pages
 */
export function dirtyRuns(pagemap: Buffer): [page: number, count: number][] {
  const runs: [number, number][] = [];
  const pages = pagemap.length / entryBytes;
  const most = runBytes / pageBytes;
  let begin = -1;
  for (let page = 0; page <= pages; page++) {
    const upper = page < pages ? pagemap.readUInt32LE(page * entryBytes + 4) : 0;
    const dirty = (upper & presentOrSwapped) !== 0 && (upper & fileOrShared) === 0;
    if (dirty && begin < 0) begin = page;
    if (begin >= 0 && (!dirty || page - begin === most)) {
      runs.push([begin, page - begin]);
      begin = dirty ? page : -1;
    }
  }
  return runs;
}

const readSome = promisify(read);
const writeSome = promisify(write);

function assertRead(bytesRead: number, offset: number): void {
  if (bytesRead === 0) throw new Error(`the memory of the machine ends at ${offset}`);
}

/** Copies in the thread pool: for long runs, and where writing may have to wait for the disk. */
async function copyByThreads(from: number, to: number, part: Buffer, at: { from: number; to: number }) {
  await readFully(from, part, at.from);
  for (let done = 0; done < part.length;)
    done += (await writeSome(to, part, done, part.length - done, at.to + done)).bytesWritten;
}

/** Copies synchronously: for runs so short that handing them to a thread would take longer. */
function copyAtOnce(from: number, to: number, part: Buffer, at: { from: number; to: number }): void {
  for (let done = 0; done < part.length;) {
    const bytes = readSync(from, part, done, part.length - done, at.from + done);
    assertRead(bytes, at.from + done);
    done += bytes;
  }
  for (let done = 0; done < part.length;) done += writeSync(to, part, done, part.length - done, at.to + done);
}

async function readFully(file: number, buffer: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < buffer.length;) {
    const { bytesRead } = await readSome(file, buffer, done, buffer.length - done, offset + done);
    assertRead(bytesRead, offset + done);
    done += bytesRead;
  }
}

/** Copies a RAM image. Holes stay holes, and blocks are shared where the file system can do that. */
export function copyRamImage(image: string, target: string): Promise<void> {
  return withUntrusted(image, {}, (file) => copyWithHoles(pathOfHandle(file), target));
}

async function copyWithHoles(from: string, target: string): Promise<void> {
  // Node's `copyFile` fills the holes of a sparse file.
  try {
    await execute('cp', ['--reflink=auto', '--sparse=auto', '--', from, target], {
      timeout: 300_000,
      env: { PATH: programPath, LC_ALL: 'C' },
    });
  } catch (error) {
    const printed = (error as { stderr?: string }).stderr ?? '';
    const full = printed.includes('No space left on device') || printed.includes('Disk quota exceeded');
    throw Object.assign(
      new Error(`the memory could not be copied: ${printed.trim() || (error as Error).message}`, {
        cause: error,
      }),
      full ? { code: 'ENOSPC' } : {},
    );
  }
}

/** Permissions of a RAM image: QEMU before 8.2 opens it for writing even where it only maps it privately. */
export function ramMode(features: QemuFeatures): number {
  return features.readonlyRam ? 0o444 : 0o666;
}

/** Makes the RAM image of a machine that starts with empty memory. */
export async function makeEmptyRam(target: string, memoryMB: number, features: QemuFeatures): Promise<void> {
  const file = await open(target, 'wx', 0o600);
  try {
    await file.truncate(memoryMB * 1024 * 1024);
    await file.chmod(ramMode(features));
  } finally {
    await file.close();
  }
}

function openFile(path: string, flags: string): Disposable & { fd: number } {
  const fd = openSync(path, flags);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

async function readPagemap(pid: number, mapping: Mapping): Promise<Buffer> {
  using file = openFile(`/proc/${pid}/pagemap`, 'r');
  const pagemap = Buffer.alloc(((mapping.end - mapping.start) / pageBytes) * entryBytes);
  await readFully(file.fd, pagemap, (mapping.start / pageBytes) * entryBytes);
  return pagemap;
}

/**
 * Writes the pages that a paused machine has changed over a copy of the image that it maps privately. To keep the pause
 * short, runs that take microseconds are not handed to other threads.
 * @param pid the QEMU process
 * @param image the file that it maps
 * @param target the copy; it is not yet durable when this returns
 * @returns the byte ranges that the machine had changed, in order
 */
export async function saveDirtyPages(pid: number, image: string, target: string): Promise<ByteRange[]> {
  const { ino: inode, size } = await withUntrusted(image, {}, (file) => file.stat());
  const mapping = findMapping(readFileSync(`/proc/${pid}/maps`, 'latin1'), { inode, size });
  if (mapping === undefined) throw new Error(`process ${pid} does not map the whole of ${image}`);
  const pagemap = await readPagemap(pid, mapping);
  using memory = openFile(`/proc/${pid}/mem`, 'r');
  await using output = await openUntrusted(target, { flags: constants.O_RDWR });
  const buffer = Buffer.alloc(runBytes);
  const changed: ByteRange[] = [];
  let turn = performance.now();
  for (const [page, count] of dirtyRuns(pagemap)) {
    const part = buffer.subarray(0, count * pageBytes);
    const at = { from: mapping.start + page * pageBytes, to: page * pageBytes };
    if (part.length >= longBytes) await copyByThreads(memory.fd, output.fd, part, at);
    else copyAtOnce(memory.fd, output.fd, part, at);
    changed.push([at.to, at.to + part.length]);
    if (performance.now() - turn < turnMs) continue;
    await setImmediate();
    turn = performance.now();
  }
  return changed;
}
