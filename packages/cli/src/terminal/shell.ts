import { constants } from 'node:os';
import { deferred } from '../deferred.ts';
import { LocalError } from '../output/errors.ts';
import { pump } from './input.ts';
import type { PtyCallbacks, PtySession } from '@opencomputer/sdk';
import type { LocalTerminal } from './local.ts';

/** A shorter loss of the connection is not reported. */
const noticeMs = 2000;
/** Size changes come in bursts while a window is resized. */
const settleMs = 50;
const goodbyeMs = 2000;
const ctrlC = 0x03;

/** Opens a terminal in a sandbox. */
export type OpenPty = (callbacks: PtyCallbacks & { cols: number; rows: number }) => Promise<PtySession>;

/** A terminal in a sandbox, shown in the one that `oc` runs in. */
export class ShellView {
  readonly #terminal: LocalTerminal;
  readonly #left = deferred<never>();
  #pty: PtySession | undefined;
  #notice: NodeJS.Timeout | undefined;
  #noticed = false;
  #resizing: NodeJS.Timeout | undefined;

  constructor(terminal: LocalTerminal) {
    this.#terminal = terminal;
  }

  /** Shows it until its program ends. @returns the exit code of the program */
  async run(open: OpenPty): Promise<number> {
    const pty = await open({ ...this.#terminal.size, ...this.#callbacks() });
    this.#pty = pty;
    this.#terminal.enter();
    const hangUp = (name: 'SIGHUP' | 'SIGTERM') => () => void this.#hangUp(pty, name);
    const listeners = [
      ['SIGHUP', hangUp('SIGHUP')],
      ['SIGTERM', hangUp('SIGTERM')],
    ] as const;
    for (const [name, listener] of listeners) process.on(name, listener);
    process.stdout.on('resize', this.#onResize);
    try {
      // Input ends with the terminal, which then sends SIGHUP.
      pump(process.stdin, { send: (data) => this.#type(pty, data) }).catch(this.#left.reject);
      return await Promise.race([this.#left.promise, this.#output(pty)]);
    } finally {
      process.stdout.off('resize', this.#onResize);
      for (const [name, listener] of listeners) process.off(name, listener);
      clearTimeout(this.#notice);
      clearTimeout(this.#resizing);
      this.#terminal.leave();
    }
  }

  async #output(pty: PtySession): Promise<number> {
    for await (const data of pty) await this.#terminal.show(data);
    return pty.done;
  }

  async #type(pty: PtySession, data: Uint8Array): Promise<void> {
    // Input waits for the connection now, so this key would not arrive.
    if (this.#noticed && data.includes(ctrlC)) this.#leave(pty);
    await pty.send(data);
  }

  #callbacks(): PtyCallbacks {
    return {
      onDisconnect: () => {
        this.#notice ??= setTimeout(() => {
          this.#noticed = true;
          this.#terminal.notice('the connection is lost, trying again; Ctrl-C leaves');
        }, noticeMs);
      },
      onReconnect: () => {
        clearTimeout(this.#notice);
        this.#notice = undefined;
        if (this.#noticed) this.#repaint();
        this.#noticed = false;
      },
      onGap: () => this.#repaint(),
      onHibernate: () => this.#terminal.notice('the sandbox hibernates; any key wakes it'),
      onWake: () => this.#repaint(),
    };
  }

  /** Programs draw their screen again when its size changes. */
  #repaint(): void {
    const { cols, rows } = this.#terminal.size;
    const pty = this.#pty;
    if (pty === undefined) return;
    pty
      .resize({ cols, rows: Math.max(1, rows - 1) })
      .then(() => pty.resize({ cols, rows }))
      .catch(this.#onResizeError);
  }

  #onResize = (): void => {
    clearTimeout(this.#resizing);
    this.#resizing = setTimeout(() => {
      this.#pty?.resize(this.#terminal.size).catch(this.#onResizeError);
    }, settleMs);
  };

  /** A size that does not arrive must not end the shell; the next one may arrive. */
  #onResizeError = (): void => undefined;

  #leave(pty: PtySession): void {
    this.#left.reject(new LocalError(`left terminal ${pty.sessionId}, which goes on`, { code: 'left' }));
  }

  /** The window was closed. */
  async #hangUp(pty: PtySession, name: 'SIGHUP' | 'SIGTERM'): Promise<void> {
    const done = pty.kill().catch(() => undefined);
    await Promise.race([done, new Promise((resolve) => setTimeout(resolve, goodbyeMs))]);
    process.exit(128 + constants.signals[name]);
  }
}
