import { type OperationDefinition, step } from '../../operations/definition.ts';
import type { PowerParts } from '../../sandboxes/changes/power.ts';
import { removeCheckpoint } from '../../store/checkpoints.ts';

const deleteMs = 60_000;

export interface DeleteCheckpointInput {
  readonly checkpointId: string;
}

/** Deletes a checkpoint whose row is there in state `deleting`. */
export function deleteCheckpointOperation({
  workers,
}: Pick<PowerParts, 'workers'>): OperationDefinition<DeleteCheckpointInput> {
  return {
    kind: 'deleteCheckpoint',
    deadlineMs: Infinity,
    patienceMs: Infinity,
    overdue: 'internal',
    cancellable: false,
    afterCrash: 'resume',
    steps: [
      step<DeleteCheckpointInput, void>({
        name: 'snapshot',
        attemptMs: deleteMs,
        run: async ({ input, signal }) => {
          const worker = await workers.ofCheckpoint(input.checkpointId);
          await worker?.deleteSnapshot(input.checkpointId, { signal, timeoutMs: deleteMs });
        },
        commit: (tx, { input }) => removeCheckpoint(tx, input.checkpointId),
        undo: { impossible: 'deleted files do not come back; it is tried until the worker has done it' },
      }),
    ],
    undone: () => Promise.resolve(),
  };
}
