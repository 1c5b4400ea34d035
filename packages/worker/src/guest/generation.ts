import { ApiError, liveGeneration } from '@opencomputer/protocol';
import type { GuestChannel } from './channel.ts';

/**
 * Refuses what the agent of a guest is too old for: it is frozen with the memory of a snapshot.
 * @throws ApiError `unsupported_guest`
 */
export function requireLive(channel: GuestChannel): void {
  const generation = channel.agent?.generation ?? 0;
  if (generation < liveGeneration)
    throw new ApiError(
      'unsupported_guest',
      `the agent of this sandbox is of generation ${generation}; sessions need ${liveGeneration}`,
    );
}
