import { refusal } from '../store/sandboxes.ts';
import { callerOf, type Handler } from './context.ts';
import { sandboxId } from './input.ts';

export const refreshToken: Handler<'sandboxes' | 'tokens'> = async (c, { sandboxes, tokens }) => {
  const caller = callerOf(c);
  const row = await sandboxes.get(caller.owner, sandboxId(c));
  const refused = refusal(row, 'use');
  if (refused?.code === 'sandbox_stopped') throw refused;
  return c.json({ token: await tokens.issue(row, caller) });
};
