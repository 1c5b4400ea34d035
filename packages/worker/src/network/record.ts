import { existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { systemErrorCode } from '../host/errors.ts';
import { formatBlock, parseBlock } from './addresses.ts';
import type { Block } from './addresses.ts';
import { instancePrefix } from './subnet.ts';

const fileOf = (stateDir: string): string => join(stateDir, 'network.json');

/**
 * The block that this instance had before, from its record, else from its bridge.
 * @throws Error when the record is damaged.
 */
export async function readBlock(stateDir: string, bridge: string): Promise<Block | undefined> {
  let text: string;
  try {
    text = await readFile(fileOf(stateDir), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    const address = networkInterfaces()[bridge]?.find(({ family }) => family === 'IPv4')?.address;
    return address === undefined ? undefined : parseBlock(`${address}/${instancePrefix}`);
  }
  try {
    const block = parseBlock((JSON.parse(text) as { subnet: string }).subnet);
    if (block.prefix !== instancePrefix) throw new RangeError(`its prefix must be /${instancePrefix}`);
    return block;
  } catch (cause) {
    throw new Error(`${fileOf(stateDir)} is damaged; stop all machines and remove it`, { cause });
  }
}

/** Records the block for the next start. A record with this block is not written again: the disk may be full. */
export async function writeBlock(stateDir: string, block: Block): Promise<void> {
  const file = fileOf(stateDir);
  const text = `${JSON.stringify({ subnet: formatBlock(block) })}\n`;
  if (existsSync(file) && (await readFile(file, 'utf8')) === text) return;
  await writeFile(`${file}.new`, text, { flush: true });
  await rename(`${file}.new`, file);
}

export async function removeBlock(stateDir: string): Promise<void> {
  await rm(fileOf(stateDir), { force: true });
}
