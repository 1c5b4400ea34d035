import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { formatAddress, formatBlock } from './addresses.ts';
import type { Block } from './addresses.ts';
import type { Names } from './names.ts';
import { CommandError, run } from './run.ts';
import { candidateBlocks, poolExhausted, rangesInUse } from './subnet.ts';

const batch = ['ip', '-batch', '-'] as const;

/** Address of the bridge in its block: the first usable one. */
export function gatewayOf(block: Block): string {
  return formatAddress(block.base + 1);
}

/** Address of a slot's uplink in the block. */
export function slotAddress(block: Block, index: number): string {
  return formatAddress(block.base + 2 + index);
}

export function linkExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

/** Turns routing on. @throws Error that says what to do where the host forbids it. */
export async function enableForwarding(): Promise<void> {
  const path = '/proc/sys/net/ipv4/ip_forward';
  if ((await readFile(path, 'utf8')).trim() === '1') return;
  try {
    await writeFile(path, '1');
  } catch (cause) {
    throw new Error('cannot turn on IPv4 forwarding; run: sysctl -w net.ipv4.ip_forward=1', { cause });
  }
}

// A fixed hardware address: otherwise the bridge uses that of its lowest port, which changes with the slots.
function bridgeMac(bridge: string): string {
  return `02:6f:${bridge.slice(2).replace(/(..)(?=.)/g, '$1:')}`;
}

/** Makes the bridge if it is missing and brings it up, without IPv6. */
async function ensureLink(bridge: string): Promise<void> {
  const lines = linkExists(bridge)
    ? []
    : [
        `link add ${bridge} address ${bridgeMac(bridge)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      ];
  lines.push(`link set ${bridge} addrgenmode none`, `link set ${bridge} up`, '');
  await run(batch, { input: lines.join('\n') });
  const ipv6 = `/proc/sys/net/ipv6/conf/${bridge}/disable_ipv6`;
  if (existsSync(ipv6)) await writeFile(ipv6, '1');
}

/**
 * Claims a block for the bridge. The route is added first, and only if no equal one exists: that way the kernel decides
 * between two instances that choose at the same moment.
 * @returns false when another device has the block.
 */
async function take(bridge: string, block: Block): Promise<boolean> {
  const route = `${formatBlock(block)} dev ${bridge}`;
  const present = await run(['ip', '-4', 'route', 'show', ...route.split(' ')] as ['ip', ...string[]]);
  if (present.stdout.trim() === '') {
    try {
      await run(batch, { input: `route add ${route} proto static\n` });
    } catch (error) {
      if (error instanceof CommandError && error.stderr.includes('File exists')) return false;
      throw error;
    }
  }
  const address = `${gatewayOf(block)}/${block.prefix} dev ${bridge}`;
  await run(batch, { input: `address replace ${address} noprefixroute\n` });
  return true;
}

/** Repairs the bridge with a block that it already owns. @throws Error when another device has the block now. */
export async function restoreBridge(names: Names, block: Block): Promise<void> {
  await ensureLink(names.bridge);
  if (!(await take(names.bridge, block))) {
    throw new Error(
      `${formatBlock(block)}, the range of this instance's machines, is now routed to another device; ` +
        `free it (ip route show ${formatBlock(block)}) or stop the machines`,
    );
  }
}

/**
 * Makes the bridge with a block that nothing else uses.
 * @param preferred tried first, where it is a candidate
 */
export async function createBridge(
  names: Names,
  instanceTag: string,
  pool: Block,
  preferred: Block | undefined,
): Promise<Block> {
  await ensureLink(names.bridge);
  await run(['ip', '-4', 'addr', 'flush', 'dev', names.bridge]);
  await run(['ip', '-4', 'route', 'flush', 'dev', names.bridge]);
  const candidates = candidateBlocks(pool, await rangesInUse(names.bridge), instanceTag);
  const first = candidates.filter((block) => block.base === preferred?.base);
  for (const block of [...first, ...candidates]) {
    if (await take(names.bridge, block)) return block;
  }
  await removeBridge(names);
  throw poolExhausted(pool);
}

/** Removes the bridge with its address and route. Does nothing when there is none. */
export async function removeBridge(names: Names): Promise<void> {
  if (linkExists(names.bridge)) await run(['ip', 'link', 'del', names.bridge]);
}
