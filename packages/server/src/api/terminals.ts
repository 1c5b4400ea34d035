import { createTerminalSchema, type Terminal } from '@opencomputer/protocol';
import { callerOf, type Handler } from './context.ts';
import { readJson, sandboxId } from './input.ts';
import { presentSession, sessionId } from './sessions.ts';

export const createTerminal: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const sandboxID = sandboxId(c);
  const request = await readJson(c, createTerminalSchema);
  const started = await sandboxes.withMachine(callerOf(c).owner, sandboxID, () =>
    sessions.createTerminal(sandboxID, request),
  );
  return c.json({ sessionID: started.id, sandboxID } satisfies Terminal, 201);
};

export const listTerminals: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const id = sandboxId(c);
  const found = await sandboxes.withMachine(callerOf(c).owner, id, () => sessions.list(id, ['pty']));
  return c.json(found.map((session) => presentSession(id, session)));
};

export const killTerminal: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const id = sandboxId(c);
  await sandboxes.withMachine(callerOf(c).owner, id, () => sessions.closeTerminal(id, sessionId(c)));
  return c.body(null, 204);
};
