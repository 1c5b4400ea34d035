import { ApiError, execRequestSchema, isExecId, limits } from '@opencomputer/protocol';
import { clientGone } from '../http/server.ts';
import { callerOf, type Handler } from './context.ts';
import { readJson, sandboxId } from './input.ts';
import { paddedJson } from '../http/padding.ts';

export const runCommand: Handler<'commands' | 'log' | 'sandboxes' | 'timing'> = async (
  c,
  { sandboxes, commands, timing, log },
) => {
  const { owner } = callerOf(c);
  const id = sandboxId(c);
  const request = await readJson(c, execRequestSchema, limits.commandBodyBytes);
  const gone = clientGone(c);
  const result = sandboxes.withMachine(owner, id, () => commands.run(id, request, gone));
  return paddedJson(c, result, timing.padMs, log, { every: timing.every });
};

export const runCommandAsync: Handler<'commands' | 'sandboxes' | 'timing'> = async (
  c,
  { sandboxes, commands, timing },
) => {
  const id = sandboxId(c);
  const request = await readJson(c, execRequestSchema, limits.commandBodyBytes);
  const startedAt = new Date().toISOString();
  const started = await sandboxes.withMachine(callerOf(c).owner, id, () =>
    commands.start(id, request, timing.asyncMs),
  );
  if (!started.running) return c.json(started.result);
  return c.json({ execId: started.execId, running: true, startedAt }, 202);
};

export const getCommandResult: Handler<'commands' | 'sandboxes' | 'timing'> = async (
  c,
  { sandboxes, commands, timing },
) => {
  const id = sandboxId(c);
  const execId = c.req.param('execId') ?? '';
  const result = await sandboxes.withMachine(callerOf(c).owner, id, () => {
    if (!isExecId(execId))
      throw new ApiError('exec_not_found', `no command has the id ${execId.slice(0, 64)}`);
    return commands.poll(id, execId, timing.pollMs);
  });
  return c.json(result);
};
