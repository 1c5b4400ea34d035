import type { Logger } from 'pino';
import type { MachineRegistry } from '../registry.ts';
import type { Exclusive } from './exclusive.ts';
import { flattenMachine, mustFlatten, shouldFlatten } from './flatten.ts';

/** Flattens disks with many layers while no other change of the machine is due. */
export class Flattening {
  readonly #registry: MachineRegistry;
  readonly #exclusive: Exclusive;
  readonly #log: Logger;
  readonly #underWay = new Map<string, AbortController>();

  /** @param exclusive runs the changes of machines */
  constructor(registry: MachineRegistry, exclusive: Exclusive, log: Logger) {
    this.#registry = registry;
    this.#exclusive = exclusive;
    this.#log = log;
  }

  /** Flattens the disk of a machine, where it has many layers, after the changes that wait already. */
  schedule(id: string): void {
    const machine = this.#registry.findRunning(id);
    if (machine === undefined || this.#underWay.has(id) || !shouldFlatten(machine)) return;
    const given = new AbortController();
    this.#underWay.set(id, given);
    this.#exclusive
      .run(id, async () => {
        if (given.signal.aborted || this.#registry.findRunning(id) !== machine) return;
        const started = performance.now();
        const done = await flattenMachine(machine, given.signal);
        const milliseconds = Math.round(performance.now() - started);
        this.#log.info({ machine: id, done, milliseconds }, 'disk flattened');
      })
      .catch((error: unknown) =>
        this.#log.error({ machine: id, err: error }, 'the disk could not be flattened'),
      )
      .finally(() => this.#underWay.delete(id));
  }

  /** Gives up the flattening of a machine, under way or waiting, so that another change can begin. */
  giveUp(id: string): void {
    const given = this.#underWay.get(id);
    if (given === undefined || given.signal.aborted) return;
    given.abort();
    this.#log.info({ machine: id }, 'another change is due: its disk is not flattened');
  }

  /** The same for a change that adds a layer, unless the disk has so many layers that it must be flattened first. */
  giveUpForLayer(id: string): void {
    const machine = this.#registry.findRunning(id);
    if (machine === undefined || !mustFlatten(machine)) this.giveUp(id);
  }
}
