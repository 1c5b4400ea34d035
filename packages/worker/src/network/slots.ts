import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { guestNetwork } from './addresses.ts';
import type { Block } from './addresses.ts';
import { gatewayOf, linkExists, slotAddress } from './bridge.ts';
import { namespaceDirectory } from './names.ts';
import type { Names } from './names.ts';
import { namespaceRules, uplink } from './rules.ts';
import { CommandError, run } from './run.ts';

/** What all slots of one instance have in common. */
export interface Fabric {
  names: Names;
  block: Block;
  uidBase: number;
  limitConnections: boolean;
}

/** How many slots are made at once. More would only wait in the kernel. */
const parallelSlots = 4;

/** How long links may outlive their namespace before they are removed by name. */
const lingerMs = 300;

export function namespacePath(names: Names, index: number): string {
  return `${namespaceDirectory}/${names.namespace(index)}`;
}

/** Whether a slot's namespace exists and is attached to the bridge. */
export function slotWhole(names: Names, index: number): boolean {
  return existsSync(namespacePath(names, index)) && existsSync(`/sys/class/net/${names.link(index)}/brport`);
}

function linkLines(names: Names, index: number): string[] {
  return [`link add ${names.link(index)} type veth peer name ${uplink} netns ${names.namespace(index)}`];
}

function attachLines(names: Names, index: number): string[] {
  const link = names.link(index);
  return [
    `link set ${link} addrgenmode none master ${names.bridge} up`,
    `link set ${link} type bridge_slave isolated on`,
  ];
}

/** The commands inside the namespace, all but the tap's; each may be repeated. */
function insideLines(fabric: Fabric, index: number): string[] {
  const { tap, gateway, gatewayMac, prefix, guest, guestMac } = guestNetwork;
  return [
    'link set lo up',
    `link set ${uplink} addrgenmode none`,
    `link set ${uplink} up`,
    `address replace ${slotAddress(fabric.block, index)}/${fabric.block.prefix} dev ${uplink}`,
    `route replace default via ${gatewayOf(fabric.block)}`,
    `link set ${tap} addrgenmode none address ${gatewayMac}`,
    `link set ${tap} up`,
    `address replace ${gateway}/${prefix} dev ${tap}`,
    `neigh replace ${guest} lladdr ${guestMac} dev ${tap} nud permanent`,
    `netconf show dev ${tap}`,
    `netconf show dev ${uplink}`,
  ];
}

async function configureInside(fabric: Fabric, index: number, before: readonly string[]): Promise<void> {
  const namespace = fabric.names.namespace(index);
  const enter = ['nsenter', `--net=${namespacePath(fabric.names, index)}`, '--'] as const;
  // The policy is in place before the tap is up.
  await run([...enter, 'nft', '-f', '-'], {
    input: namespaceRules({ gateway: gatewayOf(fabric.block), limitConnections: fabric.limitConnections }),
  });
  const { stdout } = await run(['ip', '-n', namespace, '-batch', '-'], {
    input: [...before, ...insideLines(fabric, index), ''].join('\n'),
  });
  // A new namespace inherits forwarding from the host, but not on every host.
  if (/^inet .*forwarding off/m.test(stdout)) {
    await run([...enter, 'tee', '/proc/sys/net/ipv4/ip_forward'], { input: '1' });
  }
}

async function inParallel(indexes: readonly number[], work: (index: number) => Promise<void>): Promise<void> {
  const queue = indexes.values();
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (const index of queue) {
      try {
        await work(index);
      } catch (error) {
        failures.push(error);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: parallelSlots }, lane));
  if (failures.length > 0) throw failures[0];
}

/** Makes all these slots, or none. */
export async function makeSlots(fabric: Fabric, indexes: readonly number[]): Promise<void> {
  const { names } = fabric;
  try {
    const lines = indexes.flatMap((index) => [
      `netns add ${names.namespace(index)}`,
      ...linkLines(names, index),
      ...attachLines(names, index),
    ]);
    await run(['ip', '-batch', '-'], { input: [...lines, ''].join('\n'), deadlineMs: 60_000 });
    await inParallel(indexes, (index) =>
      configureInside(fabric, index, [
        `tuntap add dev ${guestNetwork.tap} mode tap user ${fabric.uidBase + index}`,
      ]),
    );
  } catch (cause) {
    try {
      await destroySlots(names, indexes);
    } catch (second) {
      throw new AggregateError([cause, second], 'a network slot could not be made, nor its remains removed', {
        cause: second,
      });
    }
    throw cause;
  }
}

/**
 * Removes these slots; parts that are already gone are fine.
 * @throws Error that names what is left.
 */
export async function destroySlots(names: Names, indexes: readonly number[]): Promise<void> {
  const spaces = indexes.filter((index) => existsSync(namespacePath(names, index)));
  const namespacesLeft = await remove(spaces.map((index) => `netns del ${names.namespace(index)}`));
  // With a namespace the kernel removes its links, much faster than one by one; but not while a process is left in it.
  const links = (): number[] => indexes.filter((index) => linkExists(names.link(index)));
  const deadline = performance.now() + (spaces.length === 0 ? 0 : lingerMs);
  while (links().length > 0 && performance.now() < deadline) await setTimeout(5);
  const linksLeft = await remove(links().map((index) => `link del ${names.link(index)}`));

  const left = indexes.filter((index) => slotRemains(names, index));
  if (left.length > 0) {
    const text = left.map((index) => names.namespace(index)).join(', ');
    throw new Error(`could not remove network of ${text}: ${(namespacesLeft + linksLeft).slice(0, 1000)}`);
  }
}

/** Whether any part of a slot exists. */
export function slotRemains(names: Names, index: number): boolean {
  return linkExists(names.link(index)) || existsSync(namespacePath(names, index));
}

/** Runs every command, even when others fail. @returns their error messages */
async function remove(lines: readonly string[]): Promise<string> {
  if (lines.length === 0) return '';
  const input = [...lines, ''].join('\n');
  return (await run(['ip', '-force', '-batch', '-'], { input, deadlineMs: 60_000, accept: [0, 1, 2, 255] }))
    .stderr;
}

interface TapDetails {
  linkinfo?: { info_data?: { type?: string; user?: number | string } };
}

/**
 * Repairs a slot around a tap that a running machine has open.
 * @throws Error when the namespace or the tap is gone: neither can be replaced under a running machine.
 */
export async function repairSlot(fabric: Fabric, index: number): Promise<void> {
  const { names } = fabric;
  const namespace = names.namespace(index);
  if (!existsSync(namespacePath(names, index))) throw new Error(`network namespace ${namespace} is gone`);
  const tap = await tapOf(namespace);
  const uid = fabric.uidBase + index;
  if (tap?.linkinfo?.info_data?.type !== 'tap' || Number(tap.linkinfo.info_data.user) !== uid) {
    throw new Error(`network namespace ${namespace} has no ${guestNetwork.tap} that belongs to uid ${uid}`);
  }
  const lines = linkExists(names.link(index)) ? [] : linkLines(names, index);
  lines.push(...attachLines(names, index), '');
  await run(['ip', '-batch', '-'], { input: lines.join('\n') });
  await configureInside(fabric, index, []);
}

async function tapOf(namespace: string): Promise<TapDetails | undefined> {
  try {
    const { stdout } = await run([
      'ip',
      '-N',
      '-n',
      namespace,
      '-j',
      '-d',
      'link',
      'show',
      'dev',
      guestNetwork.tap,
    ]);
    return (JSON.parse(stdout) as TapDetails[])[0];
  } catch (error) {
    if (error instanceof CommandError && error.stderr.includes('does not exist')) return undefined;
    throw error;
  }
}
