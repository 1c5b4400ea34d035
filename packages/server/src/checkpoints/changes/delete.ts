import { type OperationDefinition, step } from '../../operations/definition.ts';
import { removeCheckpoint } from '../../store/checkpoints.ts';
import type { WorkerClient } from '../../workers/client.ts';

const deleteMs = 60_000;

export interface DeleteCheckpointInput {
  readonly checkpointId: string;
}

/** Deletes a checkpoint whose row is there in state `deleting`. */
export function deleteCheckpointOperation(worker: WorkerClient): OperationDefinition<DeleteCheckpointInput> {
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
        run: ({ input, signal }) =>
          worker.deleteSnapshot(input.checkpointId, { signal, timeoutMs: deleteMs }),
        commit: (tx, { input }) => removeCheckpoint(tx, input.checkpointId),
        undo: { impossible: 'deleted files do not come back; it is tried until the worker has done it' },
      }),
    ],
    undone: () => Promise.resolve(),
  };
}
