import { blockSize, contains, formatBlock, overlaps, parseBlock } from './addresses.ts';
import type { Block } from './addresses.ts';
import { run } from './run.ts';

/** A Linux bridge has at most 1023 ports, so a larger range per instance would be of no use. */
export const instancePrefix = 22;

/** Slots per instance: the addresses of its range without network, gateway and broadcast, rounded down. */
export const slotLimit = 1000;

const defaultPool = '10.213.0.0/16';

/** Parses the configured range. @throws RangeError when it is malformed, or smaller than one instance needs. */
export function parsePool(subnet: string = defaultPool): Block {
  const pool = parseBlock(subnet);
  if (pool.prefix > instancePrefix || pool.prefix < 8) {
    throw new RangeError(`subnet ${subnet} must have a prefix between /8 and /${instancePrefix}`);
  }
  return pool;
}

interface Entry {
  dev?: string;
  ifname?: string;
  dst?: string;
  addr_info?: { local?: string; prefixlen?: number }[];
}

/** Ranges of the addresses and routes of this host, without those of the given device. */
export async function rangesInUse(exceptDevice: string): Promise<Block[]> {
  const [routes, addresses] = await Promise.all([
    run(['ip', '-j', '-4', 'route', 'show', 'table', 'all']),
    run(['ip', '-j', '-4', 'addr', 'show']),
  ]);
  const read = (text: string): Entry[] => JSON.parse(text.trim() === '' ? '[]' : text) as Entry[];
  const texts = [
    ...read(routes.stdout)
      .filter((entry) => entry.dev !== exceptDevice)
      .map((entry) => entry.dst ?? 'default'),
    ...read(addresses.stdout)
      .filter((entry) => entry.ifname !== exceptDevice)
      .flatMap((entry) => (entry.addr_info ?? []).map((info) => `${info.local}/${info.prefixlen}`)),
  ];
  return texts.filter((text) => text !== 'default' && !text.includes(':')).map(parseBlock);
}

/**
 * Blocks of the pool that an instance may use, best first: blocks that nothing overlaps, then blocks inside a route
 * that is broader than the pool (such as a company network's 10.0.0.0/8), which our route would shadow. The search
 * starts at a place that depends on the tag, so that instances seldom compete.
 */
export function candidateBlocks(pool: Block, inUse: readonly Block[], instanceTag: string): Block[] {
  const size = 2 ** (32 - instancePrefix);
  const count = blockSize(pool) / size;
  const start = Number.parseInt(instanceTag, 16) % count;
  const narrow = inUse.filter((range) => !contains(range, pool));
  const blocks = Array.from({ length: count }, (_, step) => ({
    base: pool.base + ((start + step) % count) * size,
    prefix: instancePrefix,
  })).filter((block) => !narrow.some((range) => overlaps(range, block)));
  const shadowing = (block: Block): number => Number(inUse.some((range) => overlaps(range, block)));
  return blocks.toSorted((one, other) => shadowing(one) - shadowing(other));
}

/** The error for a pool without a free block. */
export function poolExhausted(pool: Block): Error {
  return new Error(
    `no free /${instancePrefix} in ${formatBlock(pool)}: other networks of this host use it all; ` +
      'set OPENCOMPUTER_SUBNET to a private range that is free here',
  );
}
