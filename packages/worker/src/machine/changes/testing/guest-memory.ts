import { readFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { eventually } from '@opencomputer/testing/eventually';
import { findMapping } from '../../../qemu/ram.ts';
import { counterAddress, orderAddress } from '../../../qemu/testing/counter.ts';

/** Where a mark is kept: the counter uses nothing there. */
export const markAddress = 0x8000;
const markBytes = 64;

/**
 * The memory of a counting guest, as the kernel shows that of the QEMU process. A mark in it tells one state of a
 * machine from another, and a restored machine from one that has booted, which has none.
 */
export class GuestMemory {
  readonly #pid: number;
  readonly #image: string;

  /** @param image the RAM image that the process maps */
  constructor(pid: number, image: string) {
    this.#pid = pid;
    this.#image = image;
  }

  async count(): Promise<number> {
    return (await this.#read(counterAddress, 4)).readUInt32LE(0);
  }

  /** Waits until it has counted on. @throws Error when it has not in time */
  async countsOn(): Promise<void> {
    const before = await this.count();
    await eventually(`the guest counts on from ${before}`, async () => (await this.count()) !== before, {
      everyMs: 5,
      withinMs: 60_000,
    });
  }

  /** Leaves a mark in place of the last one. */
  async mark(text: string): Promise<void> {
    const bytes = Buffer.alloc(markBytes);
    bytes.write(text);
    await this.#write(markAddress, bytes);
  }

  /** Makes the guest restart, or power itself off. */
  async order(what: 'restart' | 'power off'): Promise<void> {
    await this.#write(orderAddress, Buffer.from([what === 'restart' ? 1 : 2]));
  }

  async readMark(): Promise<string> {
    return markIn(await this.#read(markAddress, markBytes));
  }

  async #read(address: number, length: number): Promise<Buffer> {
    const start = await this.#start();
    await using file = await open(`/proc/${this.#pid}/mem`, 'r');
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, start + address);
    return buffer;
  }

  async #write(address: number, bytes: Buffer): Promise<void> {
    const start = await this.#start();
    await using file = await open(`/proc/${this.#pid}/mem`, 'r+');
    await file.write(bytes, 0, bytes.length, start + address);
  }

  async #start(): Promise<number> {
    const { ino: inode, size } = await stat(this.#image);
    const mapping = findMapping(readFileSync(`/proc/${this.#pid}/maps`, 'latin1'), { inode, size });
    if (mapping === undefined) throw new Error(`process ${this.#pid} does not map ${this.#image}`);
    return mapping.start;
  }
}

/** The state of a guest in a saved RAM image. */
export async function savedState(image: string): Promise<{ count: number; mark: string }> {
  await using file = await open(image, 'r');
  const bytes = Buffer.alloc(markBytes);
  await file.read(bytes, 0, markBytes, markAddress);
  const counter = Buffer.alloc(4);
  await file.read(counter, 0, 4, counterAddress);
  return { count: counter.readUInt32LE(0), mark: markIn(bytes) };
}

function markIn(bytes: Buffer): string {
  return bytes.toString('latin1', 0, bytes.indexOf(0));
}
