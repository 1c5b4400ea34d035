import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { steps } from '../../packages/worker/src/machine/steps.ts';
import { eventually } from '@opencomputer/testing/eventually';
import { TestWorker } from './worker.ts';

export type Change = keyof typeof steps;
/** worker: it is killed; machine: its QEMU is killed; full: the next write fails as on a full disk. */
export type Fault = 'worker' | 'machine' | 'full';

/** A worker that fails where a test wants it to. */
export class FaultyWorker {
  readonly worker: TestWorker;
  readonly #directory: string;

  private constructor(worker: TestWorker, directory: string) {
    this.worker = worker;
    this.#directory = directory;
  }

  static async start(options: { dataDir?: string; cacheDir?: string } = {}): Promise<FaultyWorker> {
    const directory = await mkdtemp(join(tmpdir(), 'opencomputer-faults-'));
    const env = { OPENCOMPUTER_TEST_FAULTS: join(directory, 'fault') };
    const worker = await TestWorker.start({ ...options, env });
    return new FaultyWorker(worker, directory);
  }

  async destroy(): Promise<void> {
    await this.worker.destroy();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /**
   * Makes a change during which something fails at a step, and waits until it has happened. A worker that was killed
   * is started again.
   * @returns what became of the call
   * @throws Error when the change does not come to that step
   */
  async fail(step: string, fault: Fault, change: () => Promise<unknown>): Promise<string> {
    const file = join(this.#directory, 'fault');
    await writeFile(file, `${step} ${fault}`);
    const outcome = await change().then(
      () => 'done',
      (error: unknown) => `refused: ${(error as Error).message}`,
    );
    await eventually(`${step} is reached; the change: ${outcome}`, () => !existsSync(file), {
      withinMs: 240_000,
      everyMs: 20,
    });
    if (fault === 'worker') {
      // It is gone, or about to be.
      await this.worker.crash();
      await this.worker.startAgain();
    }
    return `${fault} at ${step}: ${outcome}`;
  }

  /**
   * Makes a change that is held at a step while `meanwhile` is done.
   * @returns what the change answered
   * @throws Error when the change does not come to that step
   */
  async hold<Answer>(
    step: string,
    meanwhile: () => Promise<void>,
    change: () => Promise<Answer>,
  ): Promise<Answer> {
    const file = join(this.#directory, 'fault');
    const held = `${file}.held`;
    await writeFile(file, `${step} hold`);
    const changed = change();
    changed.catch(() => undefined);
    await eventually(`${step} is reached`, () => existsSync(held), { withinMs: 240_000, everyMs: 10 });
    try {
      await meanwhile();
    } finally {
      await rm(held);
    }
    return changed;
  }
}

/** The steps of a change in order, each with what the change has come to: false until its record is written. */
export function stepsOf(change: Change, durable = 'recorded'): { step: string; done: boolean }[] {
  const names: readonly string[] = steps[change];
  const turn = names.indexOf(durable);
  return names.map((name, index) => ({ step: `${change}:${name}`, done: turn >= 0 && index >= turn }));
}
