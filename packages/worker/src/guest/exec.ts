import { guestPaths, ApiError, type GuestExecRequest, type GuestExecResult } from '@opencomputer/protocol';
import { z } from 'zod';
import type { GuestChannel } from './channel.ts';
import { requireSessions, requireQuiet } from './generation.ts';
import { callJson } from './request.ts';
import { callResult } from './result.ts';

/** Longest wait of one call; callers that need longer ask again. */
const longestWaitMs = 60_000;
const answerMs = 30_000;

/**
 * Starts a command and waits for its end, at most `waitMs`.
 * @param arrives called for each piece of the result that arrives; what it throws ends the call, not the command
 * @throws ApiError `command_not_started`, `too_many_commands`, `unsupported_guest`, `guest_failed`, `guest_timeout`
 */
export async function startCommand(
  channel: GuestChannel,
  request: GuestExecRequest,
  arrives?: () => void,
): Promise<GuestExecResult> {
  const waitMs = Math.min(request.waitMs ?? longestWaitMs, longestWaitMs);
  const session = await channel.session();
  if (request.stdin === true || request.tty !== undefined) requireSessions(channel);
  if (request.unlogged === true || request.unlisted === true) requireQuiet(channel);
  const result = await callResult(session, 'POST', guestPaths.exec, {
    arrives,
    body: { ...request, waitMs },
    deadlineMs: waitMs + answerMs,
  });
  return answerFor(request.id, result);
}

function answerFor(id: string | undefined, result: GuestExecResult): GuestExecResult {
  if (id !== undefined && result.id !== id)
    throw new ApiError('guest_failed', 'the guest answered for another command');
  return result;
}

/**
 * The result of a command so far, after at most `waitMs`.
 * @param arrives called for each piece of the result that arrives; what it throws ends the call
 * @throws ApiError `exec_not_found`
 */
export async function commandResult(
  channel: GuestChannel,
  id: string,
  waitMs: number,
  arrives?: () => void,
): Promise<GuestExecResult> {
  const wait = Math.min(waitMs, longestWaitMs);
  const path = `${guestPaths.exec}/${id}?waitMs=${wait}`;
  const result = await callResult(await channel.session(), 'GET', path, {
    arrives,
    deadlineMs: wait + answerMs,
    notFound: 'exec_not_found',
  });
  return answerFor(id, result);
}

/** Sends a signal to a command's process group. */
export async function signalCommand(channel: GuestChannel, id: string, signal: number): Promise<void> {
  await callJson(await channel.session(), 'POST', `${guestPaths.exec}/${id}/signal`, z.object({}), {
    body: { signal },
    deadlineMs: answerMs,
    notFound: 'exec_not_found',
  });
}
