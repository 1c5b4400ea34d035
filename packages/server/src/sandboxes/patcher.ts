import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, limits, newExecId } from '@opencomputer/protocol';
import { beginPatchRun, endPatchRun, patchesOf, type PatchRun, setPatchError } from '../store/patches.ts';
import { findSandbox } from '../store/sandboxes.ts';
import type { PatchRow, Store } from '../store/tables.ts';
import type { WorkerExecResult } from '../workers/client.ts';
import type { WorkerRegistry } from '../workers/registry.ts';

const waitMs = 20_000;
const retryMs = 200;
/** How long a patch is asked after beyond its time, e.g. while the worker is away. */
const overtimeMs = 60_000;
const outputBytes = 64 * 1024;
const toldCharacters = 500;

/** Runs the patches of the checkpoint that a sandbox was forked from. */
export class Patcher {
  readonly #store: Store;
  readonly #workers: Pick<WorkerRegistry, 'ofSandbox'>;

  constructor(store: Store, workers: Pick<WorkerRegistry, 'ofSandbox'>) {
    this.#store = store;
    this.#workers = workers;
  }

  /**
   * Runs those that have not been run in the sandbox, in order, up to the first that fails. A failure is written into
   * the row of the sandbox; nothing is thrown for it.
   * @throws the reason of `signal` when that is aborted.
   */
  async run(sandboxId: string, signal: AbortSignal): Promise<void> {
    const row = await findSandbox(this.#store, sandboxId);
    if (!row?.from_checkpoint_id) return;
    for (const patch of await patchesOf(this.#store, row.from_checkpoint_id))
      if ((await this.#once(sandboxId, patch, signal)) !== null) return;
    // The patch that had failed may have been deleted since.
    if (row.patch_error !== null) await setPatchError(this.#store, sandboxId, null);
  }

  async #once(sandboxId: string, patch: PatchRow, signal: AbortSignal): Promise<string | null> {
    const run = await beginPatchRun(this.#store, sandboxId, patch.id, newExecId());
    if (run.ended) return run.error;
    const error = await this.#outcome(sandboxId, patch, run, signal);
    await endPatchRun(this.#store, sandboxId, patch.id, error);
    return error;
  }

  /** Why it failed; null when it did not. */
  async #outcome(
    sandboxId: string,
    patch: PatchRow,
    run: PatchRun,
    signal: AbortSignal,
  ): Promise<string | null> {
    const name = `patch ${patch.sequence}${patch.description === '' ? '' : ` (${patch.description.slice(0, 100)})`}`;
    try {
      return describeFailure(name, await this.#finish(sandboxId, patch, run, signal));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiError)) throw error;
      const lost = error.code === 'exec_not_found' && !run.first;
      return lost ? `${name} was interrupted and is not run again` : `${name}: ${error.message}`;
    }
  }

  async #finish(
    sandboxId: string,
    patch: PatchRow,
    run: PatchRun,
    signal: AbortSignal,
  ): Promise<WorkerExecResult> {
    const timeoutMs = limits.patchTimeoutSeconds * 1000;
    const deadline = performance.now() + timeoutMs + overtimeMs;
    // What may have been sent is asked after, never sent again.
    let sent = !run.first;
    for (;;) {
      signal.throwIfAborted();
      try {
        const worker = await this.#workers.ofSandbox(sandboxId);
        const call = sent
          ? worker.commandResult(sandboxId, run.execId, waitMs, signal)
          : worker.startCommand(sandboxId, {
              id: run.execId,
              argv: ['bash', '-c', patch.script],
              timeoutMs,
              bufferBytes: outputBytes,
              waitMs,
            });
        sent = true;
        const result = await call;
        if (!result.running) return result;
      } catch (error) {
        const away = error instanceof ApiError && error.code === 'worker_unavailable';
        if (!away || performance.now() > deadline) throw error;
        await delay(retryMs, undefined, { signal });
      }
      if (performance.now() > deadline) throw new ApiError('guest_timeout', 'the guest did not end it');
    }
  }
}

function describeFailure(name: string, result: WorkerExecResult): string | null {
  if (result.timedOut) return `${name} did not end within ${limits.patchTimeoutSeconds} s`;
  if (result.exitCode === 0) return null;
  const stderr = Buffer.from(result.stderr, 'base64').toString().trim().slice(-toldCharacters);
  return `${name} ended with ${result.exitCode ?? 'a signal'}${stderr === '' ? '' : `: ${stderr}`}`;
}
