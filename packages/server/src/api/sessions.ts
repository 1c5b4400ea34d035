import {
  ApiError,
  createSessionSchema,
  type GuestSession,
  isExecId,
  killSchema,
  limits,
  type Session,
  terminalSizeSchema,
} from '@opencomputer/protocol';
import { type ApiContext, callerOf, type Handler } from './context.ts';
import { readJson, sandboxId } from './input.ts';

/** The id of the session in the path. @throws ApiError `exec_not_found` when it is none. */
export function sessionId(c: ApiContext): string {
  const id = c.req.param('execId') ?? '';
  if (!isExecId(id)) throw new ApiError('exec_not_found', `no session has the id ${id.slice(0, 64)}`);
  return id;
}

/** The exit code of a session that has ended. */
export function exitCodeOf({ running, timedOut, exitCode }: GuestSession): { exitCode?: number } {
  return running ? {} : { exitCode: timedOut ? -1 : (exitCode ?? -1) };
}

/** A session as clients see it. */
export function presentSession(sandboxID: string, session: GuestSession): Session {
  const [command = '', ...args] = session.argv;
  const { id: sessionID, running, startedAt, attached: attachedClients } = session;
  return {
    sessionID,
    sandboxID,
    command,
    args,
    running,
    ...exitCodeOf(session),
    startedAt,
    attachedClients,
  };
}

export const createSession: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const sandboxID = sandboxId(c);
  const request = await readJson(c, createSessionSchema, limits.commandBodyBytes);
  const started = await sandboxes.withMachine(callerOf(c).owner, sandboxID, () =>
    sessions.create(sandboxID, request),
  );
  const [command = '', ...args] = started.argv;
  const { id: sessionID, startedAt } = started;
  const session: Session = {
    sessionID,
    sandboxID,
    command,
    args,
    running: true,
    startedAt,
    attachedClients: 0,
  };
  return c.json(session, 201);
};

export const listSessions: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const id = sandboxId(c);
  const found = await sandboxes.withMachine(callerOf(c).owner, id, () =>
    sessions.list(id, ['session', 'agent', 'run']),
  );
  const shown = found.filter(({ kind, running, unlisted }) => !unlisted && (kind !== 'run' || running));
  return c.json(shown.map((session) => presentSession(id, session)));
};

export const killSession: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const id = sandboxId(c);
  const { signal } = await readJson(c, killSchema);
  await sandboxes.withMachine(callerOf(c).owner, id, () =>
    sessions.signal(id, sessionId(c), signal ?? undefined),
  );
  return c.json({});
};

export const resizeSession: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const id = sandboxId(c);
  const size = await readJson(c, terminalSizeSchema);
  await sandboxes.withMachine(callerOf(c).owner, id, () => sessions.resize(id, sessionId(c), size));
  return c.json({});
};
