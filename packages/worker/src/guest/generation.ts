import { ApiError, sessionsGeneration, quietGeneration } from '@opencomputer/protocol';
import type { GuestChannel } from './channel.ts';

/**
 * Refuses what the agent of a guest is too old for: it is frozen with the memory of a snapshot.
 * @throws ApiError `unsupported_guest`
 */
export function requireSessions(channel: GuestChannel): void {
  requireGeneration(channel, sessionsGeneration, 'sessions need');
}

/**
 * Refuses what an agent would log, or list, that does not know better.
 * @throws ApiError `unsupported_guest`
 */
export function requireQuiet(channel: GuestChannel): void {
  requireGeneration(channel, quietGeneration, 'a command that is not logged, or not listed, needs');
}

function requireGeneration(channel: GuestChannel, needed: number, what: string): void {
  const generation = channel.agent?.generation ?? 0;
  if (generation < needed)
    throw new ApiError(
      'unsupported_guest',
      `the agent of this sandbox is of generation ${generation}; ${what} ${needed}`,
    );
}
