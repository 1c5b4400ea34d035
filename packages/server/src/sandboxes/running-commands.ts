import { ApiError } from '@opencomputer/protocol';
import type { WorkerClient } from '../workers/client.ts';

/** More commands than an agent lets run at once. */
const kept = 2048;

/**
 * Remembers which commands may still run, so that a sandbox with a command at work is not taken for idle although
 * nobody asks for its result.
 */
export class RunningCommands {
  readonly #worker: WorkerClient;
  /** Sandbox -> command -> when it was started, by the monotonic clock. */
  readonly #commands = new Map<string, Map<string, number>>();

  constructor(worker: WorkerClient) {
    this.#worker = worker;
  }

  started(sandboxId: string, execId: string): void {
    const commands = this.#commands.get(sandboxId) ?? new Map<string, number>();
    this.#commands.set(sandboxId, commands);
    const oldest = commands.keys().next();
    if (commands.size >= kept && !oldest.done) commands.delete(oldest.value);
    commands.set(execId, performance.now());
  }

  ended(sandboxId: string, execId: string): void {
    const commands = this.#commands.get(sandboxId);
    commands?.delete(execId);
    if (commands?.size === 0) this.#commands.delete(sandboxId);
  }

  forget(sandboxId: string): void {
    this.#commands.delete(sandboxId);
  }

  /**
   * Asks the worker about the commands of a sandbox.
   * @returns When the last of them was at work (monotonic milliseconds; now if one runs), undefined when there were none.
   * @throws ApiError when the worker does not answer.
   */
  async lastAtWork(sandboxId: string): Promise<number | undefined> {
    let last: number | undefined;
    for (const [execId, startedAt] of this.#commands.get(sandboxId) ?? []) {
      const result = await this.#ask(sandboxId, execId);
      if (result?.running) return performance.now();
      this.ended(sandboxId, execId);
      // The guest's figure is only trusted as far as it is possible.
      const ended = Math.min(startedAt + (result?.durationMs ?? 0), performance.now());
      last = Math.max(last ?? 0, ended);
    }
    return last;
  }

  async #ask(sandboxId: string, execId: string) {
    try {
      return await this.#worker.commandResult(sandboxId, execId, 0);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    }
  }
}
