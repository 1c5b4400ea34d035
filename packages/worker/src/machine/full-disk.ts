import { ApiError } from '@opencomputer/protocol';
import type { Logger } from 'pino';
import { runState } from '../qemu/launch.ts';
import type { Qmp } from '../qemu/qmp.ts';

const pauseMs = 2000;

/**
 * Handles a full disk of the host. QEMU pauses the machine whose write failed: reporting the failure to the guest would
 * damage its file system. Here the machine is resumed again and again, until the write succeeds.
 */
export class FullDiskWatch {
  readonly #qmp: Qmp;
  readonly #id: string;
  readonly #log: Logger;
  readonly #pauseMs: number;
  readonly #waiting = new Set<(error: ApiError) => void>();
  #timer: NodeJS.Timeout | undefined;

  /** @param tryAgainMs how long it waits before each try */
  constructor(qmp: Qmp, id: string, log: Logger, tryAgainMs = pauseMs) {
    this.#qmp = qmp;
    this.#id = id;
    this.#log = log;
    this.#pauseMs = tryAgainMs;
    qmp.on('event', (name, data) => {
      if (name === 'BLOCK_IO_ERROR' && data['action'] === 'stop') this.#wait();
    });
    qmp.once('close', () => clearTimeout(this.#timer));
  }

  /** Checks a machine that may have been paused while no worker ran. */
  async look(): Promise<void> {
    if ((await runState(this.#qmp)) === 'io-error') this.#wait();
  }

  get paused(): boolean {
    return this.#timer !== undefined;
  }

  /** @throws ApiError `no_space` while the machine is paused */
  assertRuns(): void {
    if (this.paused) throw this.#error();
  }

  /** Waits for something that the guest does. @throws ApiError `no_space` as soon as the machine is paused meanwhile */
  async unlessFull<Result>(work: Promise<Result>): Promise<Result> {
    work.catch(() => undefined);
    this.assertRuns();
    const { promise, reject } = Promise.withResolvers<never>();
    this.#waiting.add(reject);
    try {
      return await Promise.race([work, promise]);
    } finally {
      this.#waiting.delete(reject);
    }
  }

  #error(): ApiError {
    return new ApiError(
      'no_space',
      `the host of ${this.#id} has no disk space left; the sandbox stands still until it has`,
      { hint: 'Free disk space on the host; the sandbox goes on by itself then.' },
    );
  }

  #wait(): void {
    if (this.#timer !== undefined) return;
    this.#log.error(
      { machine: this.#id },
      'the disk of the host is full: the machine is paused until there is space',
    );
    this.#timer = setTimeout(() => void this.#tryAgain(), this.#pauseMs);
    for (const reject of this.#waiting) reject(this.#error());
  }

  async #tryAgain(): Promise<void> {
    try {
      if ((await runState(this.#qmp)) !== 'io-error') {
        this.#timer = undefined;
        this.#log.info({ machine: this.#id }, 'the machine goes on: its write succeeded');
        return;
      }
      // QEMU repeats the failed write; if it fails again, the machine is paused at the next check.
      await this.#qmp.run('cont');
    } catch (error) {
      if (!this.#qmp.open) return;
      this.#log.warn({ machine: this.#id, err: error }, 'a paused machine cannot be resumed yet');
    }
    this.#timer = setTimeout(() => void this.#tryAgain(), this.#pauseMs);
  }
}
