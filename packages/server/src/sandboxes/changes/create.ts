import { ApiError, type MachineInfo, type MachineSpec } from '@opencomputer/protocol';
import { type OperationDefinition, step } from '../../operations/definition.ts';
import { addEvent } from '../../store/events.ts';
import { changeSandbox, deleteSandbox, findSandbox } from '../../store/sandboxes.ts';
import type { SandboxRow, Store } from '../../store/tables.ts';
import { CreationAbandoned } from '../abandoned.ts';
import { patchStep, type PowerParts } from './power.ts';
import { noteColdBoot, startValues } from '../starts.ts';

/**
 * A new shape is cold-booted once, which takes minutes where the CPU is emulated, and many that are created at once wait
 * for their turn. Clients wait for 300 s.
 */
const deadlineMs = 280_000;
/** How long a worker that cannot be reached is waited for. */
const patienceMs = 30_000;

/** The environment is in the row of the sandbox, so that it is stored once. */
export type CreateInput = Record<string, never>;

function machineSpec(row: SandboxRow): MachineSpec {
  return {
    template: row.template,
    cpuCount: row.cpu_count,
    memoryMB: row.memory_mb,
    diskMB: row.disk_mb,
    hostname: row.id,
    env: JSON.parse(row.envs),
    ...(row.from_checkpoint_id === null ? {} : { snapshot: row.from_checkpoint_id }),
  };
}

/** True when the request itself was refused: then nothing of it remains. Otherwise the sandbox stays, with the reason. */
function wasRefused(error: ApiError): boolean {
  return error.status < 500 || error.code === 'no_capacity';
}

async function endUndone(tx: Store, sandboxId: string, error: ApiError): Promise<void> {
  if (wasRefused(error)) {
    await deleteSandbox(tx, sandboxId);
    return;
  }
  const row = await findSandbox(tx, sandboxId);
  if (row === undefined) return;
  const reason = error.message;
  const live = row.state === 'creating' || row.state === 'running';
  if (error.code === 'abandoned' && live) {
    await changeSandbox(tx, sandboxId, { action: 'stop', actor: 'system', reason });
    await changeSandbox(tx, sandboxId, { action: 'stopped', actor: 'system', reason });
    return;
  }
  if (row.state === 'creating')
    await changeSandbox(tx, sandboxId, { action: 'createFailed', actor: 'system', reason });
  else await addEvent(tx, { sandbox_id: sandboxId, kind: 'createFailed', actor: 'system', reason });
}

/**
 * Creates the machine of a sandbox whose row is there in state `creating` and says on which worker: `create` from a
 * template, `fork` from a checkpoint, whose patches are then run.
 */
export function createOperation(
  kind: 'create' | 'fork',
  parts: PowerParts,
): OperationDefinition<CreateInput> {
  const { store, workers } = parts;
  const patches = kind === 'fork' ? [patchStep<CreateInput>(parts)] : [];
  return {
    kind,
    deadlineMs: deadlineMs + patches.reduce((sum, { attemptMs }) => sum + attemptMs, 0),
    patienceMs,
    overdue: 'creation_failed',
    cancellable: true,
    afterCrash: () => new CreationAbandoned('its creation was interrupted by a stop of the server'),
    steps: [
      step<CreateInput, MachineInfo>({
        name: 'machine',
        attemptMs: deadlineMs,
        run: async ({ subject: { id: sandboxId }, signal }) => {
          const row = await findSandbox(store, sandboxId);
          if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${sandboxId} not found`);
          const worker = await workers.ofSandbox(sandboxId);
          return worker.putMachine(sandboxId, machineSpec(row), { signal, timeoutMs: deadlineMs });
        },
        commit: async (tx, { subject: { id: sandboxId } }, machine) => {
          const values = { started_at: Date.now(), ...startValues(machine) };
          await changeSandbox(tx, sandboxId, { action: 'created', actor: 'client', values });
          await noteColdBoot(tx, sandboxId, machine);
        },
        undo: async ({ subject: { id: sandboxId }, signal }) => {
          const worker = await workers.ofSandbox(sandboxId);
          await worker.deleteMachine(sandboxId, { signal });
        },
      }),
      ...patches,
    ],
    undone: (tx, { id: sandboxId }, _input, error) => endUndone(tx, sandboxId, error),
  };
}
