import { systemErrorCode } from '../host/errors.ts';
import { contains, formatBlock } from './addresses.ts';
import type { Block } from './addresses.ts';
import { createBridge, enableForwarding, gatewayOf, removeBridge, restoreBridge } from './bridge.ts';
import { canLimitConnections } from './detect.ts';
import { DnsForwarder } from './dns/forwarder.ts';
import { HostResolvers } from './dns/resolvers.ts';
import { Host, openTunDevice } from './host.ts';
import { findSlots } from './leftovers.ts';
import { namesFor } from './names.ts';
import type { Names } from './names.ts';
import { readBlock, writeBlock } from './record.ts';
import { run } from './run.ts';
import type { Fabric } from './slots.ts';
import { parsePool } from './subnet.ts';
import type { NetworkOptions } from './types.ts';

/** Everything that an instance has on its host besides slots. */
export interface Setup {
  fabric: Fabric;
  host: Host;
  /** Ends the DNS service. */
  stopDns: () => Promise<void>;
  /** Slots of an earlier run: names of what exists, by index. */
  leftovers: Map<number, string[]>;
}

export type SetupOptions = NetworkOptions & { uidBase: number };

/**
 * Prepares the host.
 * @param onBridgeRestored called when the bridge had to be made again
 */
export async function setUp(options: SetupOptions, onBridgeRestored: () => Promise<void>): Promise<Setup> {
  const { instanceTag, stateDir, log, uidBase } = options;
  const names = namesFor(instanceTag);
  const leftovers = await findSlots(names);
  await enableForwarding();
  await openTunDevice(log);

  await using undo = new AsyncDisposableStack();
  const block = await ensureBridge(options, names, leftovers);
  undo.defer(async () => {
    if (leftovers.size === 0) await removeBridge(names);
  });
  await writeBlock(stateDir, block);

  const limitConnections = await canLimitConnections();
  if (!limitConnections)
    log.warn('this kernel cannot count connections; one sandbox may use up all of the host\u2019s');

  const resolvers = undo.adopt(new HostResolvers(options.resolvConf), (resolvers) => resolvers.close());
  const forwarder = undo.use(
    await listen({ address: gatewayOf(block), resolvers: () => resolvers.current(), log }),
  );
  const host = new Host({
    names,
    block,
    dnsPort: forwarder.port,
    log,
    onBridgeRestored,
    checkMs: options.checkMs,
  });
  undo.defer(async () => {
    await host.stop();
    if (leftovers.size === 0) await host.remove();
  });
  await host.start();
  undo.move();
  return {
    fabric: { names, block, uidBase, limitConnections },
    host,
    leftovers,
    stopDns: async () => {
      resolvers.close();
      await forwarder[Symbol.asyncDispose]();
    },
  };
}

/** If slots of an earlier run exist, their block is kept; otherwise any free block is used. */
async function ensureBridge(
  { instanceTag, stateDir, subnet, log }: NetworkOptions,
  names: Names,
  leftovers: ReadonlyMap<number, string[]>,
): Promise<Block> {
  const pool = parsePool(subnet);
  const recorded = await readBlock(stateDir, names.bridge);
  if (leftovers.size > 0 && recorded !== undefined) {
    if (!contains(pool, recorded)) {
      log.warn(
        { subnet: formatBlock(recorded), configured: formatBlock(pool) },
        'machines still use the former subnet; the configured one counts once none of them is left',
      );
    }
    await restoreBridge(names, recorded);
    return recorded;
  }
  if (leftovers.size > 0) {
    log.warn('the range of earlier machines is not known any more; those taken back get new addresses');
    for (const name of [...leftovers.values()].flat().filter((name) => name.startsWith(names.bridge))) {
      await run(['ip', 'link', 'del', name]);
    }
  }
  return createBridge(names, instanceTag, pool, recorded);
}

/** Port 53 where it is free: the host's own name server may use it on every address. */
async function listen(
  options: Omit<Parameters<typeof DnsForwarder.listen>[0], 'port'>,
): Promise<DnsForwarder> {
  for (const port of [53, 0, 0, 0]) {
    try {
      return await DnsForwarder.listen({ ...options, port });
    } catch (error) {
      if (systemErrorCode(error) !== 'EADDRINUSE') throw error;
    }
  }
  throw new Error(`no port for the DNS forwarder on ${options.address}: 53 and three others are in use`);
}
