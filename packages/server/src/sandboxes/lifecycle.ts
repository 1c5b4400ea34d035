import { ApiError, type SandboxState } from '@opencomputer/protocol';
import type { OperationEngine } from '../operations/engine.ts';
import { changeSandbox, findSandbox, isHibernated, refusal } from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';
import { CreationAbandoned } from './abandoned.ts';
import type { IdleClock } from './idle-clock.ts';
import type { Quota } from './quota.ts';
import type { Cause } from './starts.ts';
import { sandboxSubject } from './subject.ts';
import { SharedWakes, whileAwake } from './waking.ts';

const needed: Cause = { actor: 'system', reason: 'an operation needs it' };
/** How long a change waits for the changes before it. */
const turnMs = 180_000;

export interface LifecycleOptions {
  readonly store: Store;
  readonly engine: OperationEngine;
  readonly idle: IdleClock;
  readonly quota: Quota;
  /** Compares what should run on a worker with what does. */
  readonly reconcile: (workerId: string) => Promise<void>;
}

/** What else a hibernation depends on, looked at once its turn has come. */
type StillWanted = () => boolean;

/** Changes of the power of sandboxes, one at a time for each. Whoever calls has checked whose they are. */
export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #wakes = new SharedWakes();

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /**
   * Saves memory and processes and ends the machine. If that fails, the sandbox runs on.
   * @throws ApiError `sandbox_stopped`, `too_many_sandboxes`, `no_space`, `snapshot_failed`, `worker_unavailable`.
   */
  async hibernate(id: string, cause: Cause, stillWanted: StillWanted = () => true): Promise<SandboxRow> {
    const { quota } = this.#options;
    await this.#change('hibernate', id, cause, async (tx, row) => {
      if (row.state === 'hibernated' || !stillWanted()) return false;
      await quota.requireHibernated(tx, row.owner);
      return true;
    });
    return this.#row(id);
  }

  /**
   * Wakes a sandbox; calls while one is under way share it. A running sandbox stays as it is.
   * @throws ApiError `sandbox_stopped`, `too_many_sandboxes`, `no_capacity`, `creation_failed`, `worker_unavailable`.
   */
  async wake(id: string, cause: Cause): Promise<SandboxRow> {
    await this.#wakes.share(id, () =>
      this.#change('wake', id, cause, async (tx, row) => {
        if (row.state === 'running') return false;
        await this.requireRoom(tx, row);
        return true;
      }),
    );
    return this.#row(id);
  }

  /** Wakes a sandbox that the worker says is hibernated, although its row may say that it runs. */
  foundHibernated(id: string): Promise<void> {
    const cause: Cause = { actor: 'system', reason: 'the worker had it hibernated' };
    return this.#wakes.share(id, () =>
      this.#change('wake', id, cause, async (tx, row) => {
        if (row.state === 'running') await changeSandbox(tx, id, { action: 'hibernate', ...cause });
        else await this.requireRoom(tx, row);
        return true;
      }),
    );
  }

  /** Waits until a sandbox can be used, waking it if it is hibernated. @throws ApiError when it has ended. */
  async usable(row: SandboxRow): Promise<SandboxRow> {
    const { engine } = this.#options;
    let current = row;
    const wake = async (): Promise<void> => {
      current = await this.wake(row.id, needed);
    };
    return whileAwake(wake, async () => {
      if (current.state === 'creating') {
        await engine.between(sandboxSubject(row.id), turnMs, () => Promise.resolve());
        current = await this.#row(row.id);
      }
      const refused = refusal(current, 'use');
      if (refused !== undefined) throw refused;
      return current;
    });
  }

  /** The state of a sandbox once the change that is under way has ended; undefined when there is none. */
  async settled(id: string): Promise<SandboxState | undefined> {
    const { engine, store } = this.#options;
    await engine.between(sandboxSubject(id), turnMs, () => Promise.resolve());
    return (await findSandbox(store, id))?.state;
  }

  /** Shuts the system down and starts it again. */
  async reboot(id: string, cause: Cause): Promise<void> {
    await this.whileAwake(id, () =>
      this.#change('reboot', id, cause, async (tx, row) => {
        await this.requireRoom(tx, row);
        return true;
      }),
    );
  }

  /** Turns the machine off and on. */
  async powerCycle(id: string, cause: Cause): Promise<void> {
    await this.#change('powerCycle', id, cause, async (tx, row) => {
      await this.requireRoom(tx, row);
      return true;
    });
  }

  /** Does something for which a sandbox has to be awake, waking it as often as need be. */
  whileAwake<T>(id: string, work: () => Promise<T>): Promise<T> {
    return whileAwake(() => this.wake(id, needed), work);
  }

  /** Refuses to start a sandbox that is not running when that would be one too many. */
  async requireRoom(tx: Store, row: SandboxRow): Promise<void> {
    if (row.state === 'hibernated' || row.state === 'error')
      await this.#options.quota.requireRoom(tx, row.owner);
  }

  /**
   * Submits an operation on a sandbox whose state allows it. `begin` is called in the transaction that writes the
   * intent; when it returns false there is nothing to do.
   */
  async submit(
    kind: string,
    action: Parameters<typeof refusal>[1],
    id: string,
    input: object,
    begin: (tx: Store, row: SandboxRow) => Promise<boolean>,
    begun?: () => void,
  ): Promise<void> {
    const { engine } = this.#options;
    const current = refusal(await this.#row(id), action);
    // What is still being created may allow it when its turn comes.
    if (current !== undefined && current.code === 'sandbox_stopped') throw current;
    try {
      await engine.submit(
        kind,
        sandboxSubject(id),
        input,
        async (tx) => {
          const row = await findSandbox(tx, id);
          if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
          const refused = refusal(row, action);
          if (refused !== undefined) throw refused;
          return begin(tx, row);
        },
        { patienceMs: turnMs, begun },
      );
    } catch (error) {
      throw await this.#explain(id, error);
    }
  }

  #change(
    kind: 'hibernate' | 'wake' | 'reboot' | 'powerCycle',
    id: string,
    cause: Cause,
    begin: (tx: Store, row: SandboxRow) => Promise<boolean>,
  ): Promise<void> {
    return this.submit(kind, kind, id, cause, begin);
  }

  /** Says that the sandbox has ended where that is why a change failed, and finds out how the machine is now. */
  async #explain(id: string, error: unknown): Promise<unknown> {
    if (isHibernated(error)) return error;
    if (error instanceof ApiError && error.status < 500 && error.code !== 'sandbox_not_found') return error;
    const row = await findSandbox(this.#options.store, id);
    if (row === undefined || row.state === 'stopping' || row.state === 'stopped')
      return row === undefined ? error : (refusal(row, 'use') ?? error);
    // Only a kill interrupts a change; its own may not have begun.
    if (error instanceof CreationAbandoned)
      return new ApiError('sandbox_stopped', `sandbox ${id} was ended meanwhile`, { cause: error });
    void this.#options.reconcile(row.worker_id);
    if (!(error instanceof ApiError) || error.code !== 'sandbox_not_found') return error;
    return new ApiError('sandbox_stopped', `the worker has no machine of sandbox ${id} any more`);
  }

  async #row(id: string): Promise<SandboxRow> {
    const row = await findSandbox(this.#options.store, id);
    if (row === undefined) throw new ApiError('sandbox_not_found', `sandbox ${id} not found`);
    return row;
  }
}
