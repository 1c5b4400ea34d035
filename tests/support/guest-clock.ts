import type { TestMachine } from './test-machine.ts';

const questions = 10;

/**
 * How far a guest's clock is from the host's, in milliseconds, at most: a question and its answer take time in which
 * the guest looked at its clock, so that each bounds the error, and the best of several counts.
 */
export async function clockErrorMs(machine: TestMachine): Promise<number> {
  const bounds: number[] = [];
  for (let question = 0; question < questions; question++) {
    const before = Date.now();
    const guest = Number(await machine.output('date +%s%N')) / 1e6;
    const after = Date.now();
    bounds.push(Math.max(before - guest, guest - after, 0));
  }
  return Math.min(...bounds);
}
