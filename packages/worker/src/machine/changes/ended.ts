import type { Logger } from 'pino';
import type { Capacity } from '../../host/capacity.ts';
import type { Network } from '../../network/types.ts';
import { endProcess } from '../../qemu/process.ts';
import { guestReset, type Machine } from '../machine.ts';
import type { MachineRecord } from '../record.ts';
import type { DormantMachine, MachineRegistry } from '../registry.ts';

/** A guest that restarts by itself again within this time is not started again: it is in a crash loop. */
const crashLoopMs = 60_000;

export interface EndedOptions {
  registry: MachineRegistry;
  capacity: Pick<Capacity, 'release'>;
  network: Pick<Network, 'release'>;
  log: Logger;
  /** Runs a change of a machine after those before it. */
  change: (id: string, change: () => Promise<void>) => Promise<void>;
  /** Boots a machine from its disk. */
  boot: (id: string, record: MachineRecord, reason: string) => Promise<unknown>;
  onFailed: (id: string, reason: string) => void;
  /** A guest has restarted by itself and runs again. */
  onRestarted: (id: string) => void;
}

/**
 * Handles machines whose process ends by itself: where the guest restarted, the machine is booted again; any other has
 * failed.
 */
export class EndedMachines {
  readonly #options: EndedOptions;
  /** When each machine was last booted again, by `performance.now`. */
  readonly #restarted = new Map<string, number>();

  constructor(options: EndedOptions) {
    this.#options = options;
  }

  handle(machine: Machine, reason: string): void {
    const { registry, capacity, log, change, onFailed } = this.#options;
    // Where it ends before its creation has returned, the creation reports that.
    if (registry.findRunning(machine.id) !== machine) return;
    const { id, record } = machine;
    const dormant: DormantMachine = { record, state: 'failed', reason };
    const again = this.#mayRestart(id, reason);
    // Calls wait for a machine that is started again.
    if (again) void machine.gate.close(0);
    else registry.setDormant(dormant);
    capacity.release(id);
    void change(id, () => (again ? this.#restart(machine, dormant) : this.#fail(machine, dormant)))
      .catch((error: unknown) => {
        log.error({ machine: id, err: error }, 'machine failed');
        if (registry.findRunning(id) === undefined) onFailed(id, reason);
      })
      .finally(() => machine.gate.open());
  }

  /** Called when a machine was deleted: a new machine with the same id has not restarted yet. */
  forget(id: string): void {
    this.#restarted.delete(id);
  }

  #mayRestart(id: string, reason: string): boolean {
    const last = this.#restarted.get(id) ?? -Infinity;
    return reason === guestReset && performance.now() - last >= crashLoopMs;
  }

  /** @throws Error with the reason, unless a change that was under way has dealt with the end of the machine */
  async #fail(machine: Machine, dormant: DormantMachine): Promise<void> {
    await this.#cleanUp(machine);
    // It is hibernated, replaced or deleted.
    if (this.#options.registry.findDormant(machine.id) !== dormant) return;
    throw new Error(dormant.reason);
  }

  async #restart(machine: Machine, dormant: DormantMachine): Promise<void> {
    const { registry, boot, onRestarted } = this.#options;
    const { id } = machine;
    try {
      await this.#cleanUp(machine);
      if (registry.findRunning(id) !== machine) return;
      await boot(id, dormant.record, guestReset);
      this.#restarted.set(id, performance.now());
      onRestarted(id);
    } finally {
      if (registry.findRunning(id) === machine) registry.setDormant(dormant);
    }
  }

  async #cleanUp(machine: Machine): Promise<void> {
    await endProcess(machine.process.identity);
    await this.#options.network.release(machine.slot);
  }
}
