import type { Logger } from 'pino';
import type { Capacity } from '../../host/capacity.ts';
import type { Network } from '../../network/types.ts';
import { endProcess } from '../../qemu/process.ts';
import { guestReset, type Machine } from '../machine.ts';
import type { MachineRecord } from '../record.ts';
import type { MachineRegistry, RestingMachine } from '../registry.ts';

/** A guest that restarts itself again within this time is left down: it is in a crash loop. */
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

/** What happens when a machine's process ends unasked: a guest that restarts itself boots again, others have failed. */
export class EndedMachines {
  readonly #options: EndedOptions;
  /** When each was last booted again, by `performance.now`. */
  readonly #restarted = new Map<string, number>();

  constructor(options: EndedOptions) {
    this.#options = options;
  }

  handle(machine: Machine, reason: string): void {
    const { registry, capacity, log, change, onFailed } = this.#options;
    // One that ends before its creation has returned is the creation's failure.
    if (registry.findRunning(machine.id) !== machine) return;
    const { id, record } = machine;
    const resting: RestingMachine = { record, state: 'failed', reason };
    const again = this.#mayRestart(id, reason);
    // Operations wait for one that starts again.
    if (again) void machine.gate.close(0);
    else registry.setResting(resting);
    capacity.release(id);
    void change(id, () => (again ? this.#restart(machine, resting) : this.#fail(machine, resting)))
      .catch((error: unknown) => {
        log.error({ machine: id, err: error }, 'machine failed');
        if (registry.findRunning(id) === undefined) onFailed(id, reason);
      })
      .finally(() => machine.gate.open());
  }

  /** A machine was deleted: another of its id has restarted never. */
  forget(id: string): void {
    this.#restarted.delete(id);
  }

  #mayRestart(id: string, reason: string): boolean {
    const last = this.#restarted.get(id) ?? -Infinity;
    return reason === guestReset && performance.now() - last >= crashLoopMs;
  }

  /** @throws Error with the reason, unless a change that was under way has done without the machine */
  async #fail(machine: Machine, resting: RestingMachine): Promise<void> {
    await this.#cleanUp(machine);
    // It hibernates, is another, or is gone.
    if (this.#options.registry.findResting(machine.id) !== resting) return;
    throw new Error(resting.reason);
  }

  async #restart(machine: Machine, resting: RestingMachine): Promise<void> {
    const { registry, boot, onRestarted } = this.#options;
    const { id } = machine;
    await this.#cleanUp(machine);
    if (registry.findRunning(id) !== machine) return;
    try {
      await boot(id, resting.record, guestReset);
      this.#restarted.set(id, performance.now());
      onRestarted(id);
    } finally {
      if (registry.findRunning(id) === machine) registry.setResting(resting);
    }
  }

  async #cleanUp(machine: Machine): Promise<void> {
    await endProcess(machine.process.identity);
    await this.#options.network.release(machine.slot);
  }
}
