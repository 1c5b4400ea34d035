import { type AgentSession, killSchema, promptSchema, startAgentSchema } from '@opencomputer/protocol';
import { interruptLine, promptLine, startLines } from '../sessions/agent-lines.ts';
import { type ApiContext, callerOf, type Handler, type Services } from './context.ts';
import { readJson, sandboxId } from './input.ts';
import { exitCodeOf, sessionId } from './sessions.ts';

/** Writes a line to an agent session. */
async function tell(
  c: ApiContext,
  { sandboxes, sessions, agents }: Pick<Services, 'agents' | 'sandboxes' | 'sessions'>,
  line: string,
): Promise<Response> {
  const { owner } = callerOf(c);
  const id = sandboxId(c);
  const session = sessionId(c);
  await sandboxes.withMachine(owner, id, async () => {
    await sessions.find(id, session, ['agent']);
    await agents.write(owner, id, session, line);
  });
  return c.body(null, 204);
}

export const startAgent: Handler<'agents' | 'sandboxes'> = async (c, { sandboxes, agents }) => {
  const sandboxID = sandboxId(c);
  const { owner } = callerOf(c);
  const request = await readJson(c, startAgentSchema);
  const started = await sandboxes.withMachine(owner, sandboxID, () =>
    agents.start(owner, sandboxID, startLines(request)),
  );
  const { id: sessionID, startedAt } = started;
  const session: AgentSession = { sessionID, sandboxID, running: true, startedAt, attachedClients: 0 };
  return c.json(session, 201);
};

export const listAgents: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const sandboxID = sandboxId(c);
  const found = await sandboxes.withMachine(callerOf(c).owner, sandboxID, () =>
    sessions.list(sandboxID, ['agent']),
  );
  const shown = found.map((session): AgentSession => ({
    sessionID: session.id,
    sandboxID,
    running: session.running,
    ...exitCodeOf(session),
    startedAt: session.startedAt,
    attachedClients: session.attached,
  }));
  return c.json(shown);
};

export const promptAgent: Handler<'agents' | 'sandboxes' | 'sessions'> = async (c, services) => {
  const { text } = await readJson(c, promptSchema);
  return tell(c, services, promptLine(text));
};

export const interruptAgent: Handler<'agents' | 'sandboxes' | 'sessions'> = (c, services) =>
  tell(c, services, interruptLine);

export const killAgent: Handler<'sandboxes' | 'sessions'> = async (c, { sandboxes, sessions }) => {
  const id = sandboxId(c);
  const session = sessionId(c);
  const { signal } = await readJson(c, killSchema);
  await sandboxes.withMachine(callerOf(c).owner, id, async () => {
    await sessions.find(id, session, ['agent']);
    await sessions.signal(id, session, signal ?? undefined);
  });
  return c.body(null, 204);
};
