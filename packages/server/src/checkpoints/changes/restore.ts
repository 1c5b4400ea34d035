import type { OperationDefinition } from '../../operations/definition.ts';
import { powerOperation, type PowerParts, startMs, startStep } from '../../sandboxes/changes/power.ts';
import { type Cause, noteStart } from '../../sandboxes/starts.ts';
import { findCheckpoint } from '../../store/checkpoints.ts';

export interface RestoreInput extends Cause {
  readonly checkpointId: string;
}

/** Puts a sandbox back to one of its checkpoints. */
export function restoreOperation(parts: PowerParts): OperationDefinition<RestoreInput> {
  const { workers } = parts;
  return powerOperation<RestoreInput>('restore', 'start_failed', [
    startStep<RestoreInput>(parts, {
      run: async ({ subject: { id: sandboxId }, input, signal }) => {
        const worker = await workers.ofSandbox(sandboxId);
        return worker.restore(sandboxId, input.checkpointId, { signal, timeoutMs: startMs });
      },
      commit: async (tx, id, { checkpointId, actor, reason }, machine) => {
        const there = await findCheckpoint(tx, checkpointId);
        const values = there === undefined ? {} : { base_checkpoint_id: checkpointId };
        return noteStart(tx, id, 'restore', { actor, reason }, machine, values);
      },
    }),
  ]);
}
