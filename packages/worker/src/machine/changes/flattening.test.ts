import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { MachineRegistry } from '../registry.ts';
import { id, startMachine } from '../testing/started-machine.ts';
import { Exclusive } from './exclusive.ts';
import { Flattening } from './flattening.ts';

const givenUp = 'another change is due: its disk is not flattened';

/** A machine with this many layers, whose flattening is scheduled after a change that is under way. */
async function scheduled(layers: number) {
  const registry = new MachineRegistry();
  const exclusive = new Exclusive();
  const lines: string[] = [];
  const log = pino({ base: null }, { write: (line) => void lines.push(line) });
  const machine = await startMachine({
    layers: Array.from({ length: layers }, (_, index) => ({ file: `layer-${index}`, format: 'qcow2' })),
  });
  registry.setRunning(machine);
  const flattening = new Flattening(registry, exclusive, log);
  const { promise, resolve } = Promise.withResolvers<void>();
  const change = exclusive.run(id, () => promise);
  flattening.schedule(id);
  return {
    flattening,
    logged: () => lines.map((line) => (JSON.parse(line) as { msg: string }).msg),
    /** Ends the change, and waits for what follows it. */
    finish: async () => {
      resolve();
      await change;
      await exclusive.run(id, () => Promise.resolve());
    },
    /** The machine ends before the change does. */
    end: () => registry.remove(id),
  };
}

describe('the flattening of a disk', () => {
  it('is given up for another change, once, before it has begun', async () => {
    const { flattening, logged, finish } = await scheduled(9);
    flattening.giveUp(id);
    flattening.giveUp(id);
    await finish();
    expect(logged()).toEqual([givenUp]);
  });

  it('is not due with few layers', async () => {
    const { flattening, logged, finish } = await scheduled(8);
    flattening.giveUp(id);
    await finish();
    expect(logged()).toEqual([]);
  });

  it('is given up for another layer, but where there are too many', async () => {
    const some = await scheduled(31);
    some.flattening.giveUpForLayer(id);
    await some.finish();
    expect(some.logged()).toEqual([givenUp]);
    const many = await scheduled(32);
    many.flattening.giveUpForLayer(id);
    expect(many.logged()).toEqual([]);
    many.flattening.giveUp(id);
    await many.finish();
    expect(many.logged()).toEqual([givenUp]);
  });

  it('is not begun on a machine that has ended meanwhile', async () => {
    const { logged, finish, end } = await scheduled(9);
    end();
    await finish();
    expect(logged()).toEqual([]);
  });
});
