import { ApiError, sessionsGeneration, quietGeneration } from '@opencomputer/protocol';
import type { GuestChannel } from './channel.ts';

/**
 * Refuses what a guest's agent is too old for: an old snapshot keeps the guest agent it had.
 * @throws ApiError `unsupported_guest`
 */
export function requireSessions(channel: GuestChannel): void {
  requireGeneration(channel, sessionsGeneration, 'sessions need');
}

/**
 * Refuses a command that must stay out of logs or lists where the guest agent is too old to keep it out.
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
