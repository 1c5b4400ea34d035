import { firstMachineUid } from '../host/uids.ts';
import { detectNetworkMode } from './detect.ts';
import { NamespaceNetwork } from './namespaces.ts';
import type { Network, NetworkOptions } from './types.ts';
import { UserNetwork } from './user.ts';

export { describeNetworkMode } from './describe.ts';
export { detectNetworkMode } from './detect.ts';
export type { Network, NetworkOptions, NetworkSlot } from './types.ts';

/**
 * Prepares this host's networking for machines.
 * @throws RangeError for a malformed option; Error when the host cannot be prepared; nothing is left behind then.
 */
export async function openNetwork(options: NetworkOptions): Promise<Network> {
  const { uidBase = firstMachineUid } = options;
  if (!Number.isSafeInteger(options.warm) || options.warm < 0) {
    throw new RangeError(`warm must be a whole number from 0, not ${options.warm}`);
  }
  if (!Number.isSafeInteger(uidBase) || uidBase < 1 || uidBase > 4_294_000_000) {
    throw new RangeError(`uidBase must be a user id from 1 to 4294000000, not ${uidBase}`);
  }
  const mode = options.mode ?? (await detectNetworkMode()).mode;
  return mode === 'namespace' ? NamespaceNetwork.open({ ...options, uidBase }) : new UserNetwork(uidBase);
}
