import { connect, type Socket } from 'node:net';
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { systemErrorCode } from '../host/errors.ts';

/** Longest line that QEMU may send; a guest may have taken control of it. */
const lineBytes = 1024 * 1024;

const messageSchema = z.union([
  z.object({ QMP: z.unknown() }),
  z.object({ event: z.string(), data: z.record(z.string(), z.unknown()).optional() }),
  z.object({ id: z.number(), return: z.unknown() }),
  z.object({ id: z.number(), error: z.object({ class: z.string(), desc: z.string() }) }),
]);

/** A command that QEMU refused, or a broken connection to the monitor. */
export class QmpError extends Error {
  override readonly name = 'QmpError';
}

/** QEMU runs, but did not carry out a command in time. */
export class QmpTimeout extends QmpError {}

interface Pending {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

interface QmpEvents {
  event: [name: string, data: Record<string, unknown>];
  close: [];
}

/** A connection to the monitor of one QEMU process. */
export class Qmp extends EventEmitter<QmpEvents> {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #buffer = '';
  #nextId = 1;
  #closed = false;
  #greeted: () => void = () => undefined;
  #notGreeted: (error: Error) => void = () => undefined;

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#end());
  }

  /**
   * Connects to a monitor, waiting for its socket to appear, and negotiates.
   * @param alive whether the process still runs; waiting ends when it does not
   * @throws QmpError when the process ended or the deadline passed
   */
  static async connect(path: string, deadlineMs: number, alive: () => boolean): Promise<Qmp> {
    const end = Date.now() + deadlineMs;
    for (;;) {
      const socket = await dial(path);
      if (socket !== undefined) {
        const qmp = new Qmp(socket);
        try {
          await qmp.#negotiate(Math.max(1, end - Date.now()));
        } catch (error) {
          qmp.close();
          throw error;
        }
        return qmp;
      }
      if (!alive()) throw new QmpError('QEMU ended before its monitor answered');
      if (Date.now() >= end) throw new QmpTimeout(`QEMU opened no monitor within ${deadlineMs} ms`);
      await delay(1);
    }
  }

  async #negotiate(deadlineMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new QmpTimeout('the monitor of QEMU sent no greeting')),
        deadlineMs,
      );
      this.#greeted = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#notGreeted = (error) => {
        clearTimeout(timer);
        reject(error);
      };
    });
    await this.run('qmp_capabilities', {}, deadlineMs);
  }

  /** False once the connection has ended. */
  get open(): boolean {
    return !this.#closed;
  }

  /**
   * Runs one command.
   * @throws QmpError with QEMU's message, or when no answer came within `deadlineMs`
   */
  async run(execute: string, args: Record<string, unknown> = {}, deadlineMs = 10_000): Promise<unknown> {
    if (this.#closed) throw new QmpError(`${execute}: the monitor of QEMU is closed`);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new QmpTimeout(`${execute}: QEMU did not answer within ${deadlineMs} ms`));
      }, deadlineMs);
      this.#pending.set(id, {
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(new QmpError(`${execute}: ${error.message}`));
        },
      });
      this.#socket.write(`${JSON.stringify({ execute, arguments: args, id })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#buffer += text;
    if (this.#buffer.length > lineBytes) {
      this.#socket.destroy();
      return;
    }
    for (let end; !this.#socket.destroyed && (end = this.#buffer.indexOf('\n')) >= 0;) {
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + 1);
      this.#take(line);
    }
  }

  #take(line: string): void {
    let parsed;
    try {
      parsed = messageSchema.safeParse(JSON.parse(line));
    } catch {
      this.#socket.destroy();
      return;
    }
    if (!parsed.success) {
      this.#socket.destroy();
      return;
    }
    const message = parsed.data;
    if ('QMP' in message) this.#greeted();
    else if ('event' in message) this.emit('event', message.event, message.data ?? {});
    else {
      const pending = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if ('error' in message) pending?.reject(new Error(message.error.desc));
      else pending?.resolve(message.return);
    }
  }

  #end(): void {
    this.#closed = true;
    this.#notGreeted(new QmpError('the monitor of QEMU closed before its greeting'));
    for (const pending of this.#pending.values()) pending.reject(new Error('the monitor of QEMU closed'));
    this.#pending.clear();
    this.emit('close');
  }
}

function dial(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
    socket.once('error', (error) => {
      if (['ENOENT', 'ECONNREFUSED'].includes(systemErrorCode(error) ?? '')) resolve(undefined);
      else reject(new QmpError(`the monitor of QEMU cannot be reached: ${error.message}`));
    });
  });
}
