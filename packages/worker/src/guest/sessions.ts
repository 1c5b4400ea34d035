import type { ClientHttp2Stream } from 'node:http2';
import {
  guestPaths,
  ApiError,
  type GuestSession,
  type GuestUse,
  guestUseSchema,
  guestSessionListBytes,
  guestSessionListJson,
  guestSessionListSchema,
  type TerminalSize,
  useGeneration,
} from '@opencomputer/protocol';
import { z } from 'zod';
import type { GuestChannel } from './channel.ts';
import { requireSessions } from './generation.ts';
import { begin, callJson } from './request.ts';

const answerMs = 30_000;

/**
 * The commands that the guest agent knows of, running or ended.
 * @throws ApiError `too_large` where an older guest agent's list of them is larger than a list may be
 */
export async function listSessions(channel: GuestChannel): Promise<GuestSession[]> {
  const { sessions } = await callJson(
    await channel.session(),
    'GET',
    guestPaths.exec,
    guestSessionListSchema,
    {
      deadlineMs: answerMs,
      answerBytes: guestSessionListBytes,
      json: guestSessionListJson,
      tooMuch: new ApiError(
        'too_large',
        `the list of the commands of this sandbox has more than ${guestSessionListBytes} bytes`,
        {
          hint: 'Its agent is of an older version. Once the sandbox has been rebooted, long arguments are listed shortened.',
        },
      ),
    },
  );
  return sessions;
}

/**
 * What keeps the sandbox awake. An older guest agent does not report it: there, only commands started by `run` count.
 */
export async function guestUse(channel: GuestChannel): Promise<GuestUse> {
  const session = await channel.session();
  if ((channel.agent?.generation ?? 0) >= useGeneration)
    return callJson(session, 'GET', guestPaths.use, guestUseSchema, { deadlineMs: answerMs });
  const runs = (await listSessions(channel)).filter(({ kind }) => kind === 'run');
  const running = runs.filter((run) => run.running);
  const ends = runs.map(({ startedAt, durationMs }) => Date.parse(startedAt) + durationMs);
  const last = Math.max(...ends.filter((end) => Number.isFinite(end)));
  return {
    sessions: running
      .slice(0, 8)
      .map(({ id, kind, argv }) => ({ id, kind, command: argv.join(' ').slice(0, 120) })),
    count: running.length,
    idleMs: Number.isFinite(last) ? Math.max(Date.now() - last, 0) : null,
  };
}

/** Changes the size of a session's terminal. @throws ApiError `exec_not_found`, `not_terminal`, `session_ended` */
export async function resizeTerminal(channel: GuestChannel, id: string, size: TerminalSize): Promise<void> {
  const session = await channel.session();
  requireSessions(channel);
  await callJson(session, 'POST', `${guestPaths.exec}/${id}/resize`, z.object({}), {
    body: size,
    deadlineMs: answerMs,
    notFound: 'exec_not_found',
  });
}

/**
 * Attaches to a session: frames go both ways on the stream until the session, the caller or a change of the machine
 * ends it.
 * @param query where to begin and who writes, in the guest agent's parameters
 * @throws ApiError `exec_not_found`, `invalid_request` for an offset beyond the end, `unsupported_guest`
 */
export async function attachSession(
  channel: GuestChannel,
  id: string,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<ClientHttp2Stream> {
  const session = await channel.session();
  requireSessions(channel);
  const { stream } = await begin(session, 'POST', `${guestPaths.exec}/${id}/attach?${query.toString()}`, {
    deadlineMs: answerMs,
    duplex: true,
    notFound: 'exec_not_found',
    signal,
  });
  return stream;
}

/** Opens the logs of a guest: lines of JSON, for as long as the query says. @throws ApiError `unsupported_guest` */
export async function openLogs(
  channel: GuestChannel,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<ClientHttp2Stream> {
  const session = await channel.session();
  requireSessions(channel);
  const { stream } = await begin(session, 'GET', `${guestPaths.logs}?${query.toString()}`, {
    deadlineMs: answerMs,
    signal,
  });
  return stream;
}
