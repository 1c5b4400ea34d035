import { forkCheckpointSchema, forkSandboxSchema } from '@opencomputer/protocol';
import { clientGone } from '../http/server.ts';
import type { SandboxRow } from '../store/tables.ts';
import { type ApiContext, callerOf, type Handler, type Services } from './context.ts';
import { checkpointId, readJson, sandboxId } from './input.ts';
import { paddedJson, slowMs } from '../http/padding.ts';
import { presentWithToken } from './present.ts';

/** One sandbox, or a list when a number of them was asked for. */
function answerForks(
  c: ApiContext,
  services: Pick<Services, 'idle' | 'installation' | 'log' | 'publicUrl' | 'tokens'>,
  count: number | undefined,
  forks: Promise<SandboxRow[]>,
): Promise<Response> {
  const answer = forks.then(async (rows) => {
    const sandboxes = await Promise.all(rows.map((row) => presentWithToken(c, row, services)));
    return count === undefined ? sandboxes[0] : { sandboxes };
  });
  return paddedJson(c, answer, slowMs, services.log, { status: 201 });
}

export const forkCheckpoint: Handler<
  'forks' | 'idle' | 'installation' | 'log' | 'publicUrl' | 'tokens'
> = async (c, services) => {
  const cid = checkpointId(c);
  const request = await readJson(c, forkCheckpointSchema);
  const forks = services.forks.fork(callerOf(c).owner, cid, request, clientGone(c));
  return answerForks(c, services, request.count, forks);
};

export const forkSandbox: Handler<
  'forks' | 'idle' | 'installation' | 'log' | 'publicUrl' | 'tokens'
> = async (c, services) => {
  const id = sandboxId(c);
  const request = await readJson(c, forkSandboxSchema);
  const forks = services.forks.forkSandbox(callerOf(c).owner, id, request, clientGone(c));
  return answerForks(c, services, request.count, forks);
};
