import { connect, type Socket } from 'node:net';
import { guestPortName } from '@opencomputer/protocol';
import { startCommand } from '@opencomputer/worker/bench';
import type { BareMachine } from '../bare-machine.ts';
import type { BareHost } from '../floor.ts';

const deadlineMs = 120_000;
const ready = 'the port is mine';

/** In the guest: takes the port from the agent, says so, and runs the command again for every line from the host. */
function script(command: string): string {
  return [
    'systemctl stop opencomputer-agent',
    `exec 3<>/dev/virtio-ports/${guestPortName}`,
    `printf '${ready}' >&3`,
    `while read -r _ <&3; do ${command} | cat >&3; done`,
  ].join('; ');
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/**
 * What a command prints, through a pipe and the bare port: what is left of a session without HTTP/2, agent and
 * platform. Spoils the machine, so it has one of its own.
 */
export class BareOutput {
  readonly #machine: BareMachine;
  readonly #socket: Socket;

  private constructor(machine: BareMachine, socket: Socket) {
    this.#machine = machine;
    this.#socket = socket;
  }

  /** @param command a line of shell, run once for every `print` */
  static async start(bare: BareHost, command: string): Promise<BareOutput> {
    const machine = await bare.start();
    try {
      const argv = ['systemd-run', '--no-block', '--quiet', 'sh', '-c', script(command)];
      await startCommand(machine.channel, { argv, user: 'root', timeoutMs: 30_000 });
      machine.channel.hangUp();
      const output = new BareOutput(machine, await dial(machine.socketPath));
      await output.#becomeReady();
      return output;
    } catch (error) {
      await machine.end();
      throw error;
    }
  }

  /** Runs the command and returns when it has printed so many bytes. */
  async print(bytes: number): Promise<void> {
    this.#socket.write('\n');
    await this.#receive(bytes);
  }

  /** The agent's last words may come first. */
  #becomeReady(): Promise<void> {
    let said = '';
    return this.#take((part) => {
      said = (said + part.toString('latin1')).slice(-ready.length);
      return said === ready;
    });
  }

  #receive(bytes: number): Promise<void> {
    let left = bytes;
    return this.#take((part) => {
      left -= part.length;
      if (left < 0) throw new Error(`the port moved ${-left} bytes too many`);
      return left === 0;
    });
  }

  /** Takes what the port moves until `enough` says so. */
  #take(enough: (part: Buffer) => boolean): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const end = (error?: unknown): void => {
        clearTimeout(late);
        socket.off('data', take).off('close', close).pause();
        if (error === undefined) resolve();
        else reject(error);
      };
      const take = (part: Buffer): void => {
        try {
          if (enough(part)) end();
        } catch (error) {
          end(error);
        }
      };
      const close = (): void => end(new Error('the port ended too early'));
      const late = setTimeout(
        () => end(new Error(`what was due did not come within ${deadlineMs} ms`)),
        deadlineMs,
      );
      socket.on('data', take).once('close', close).resume();
    });
  }

  async end(): Promise<void> {
    this.#socket.destroy();
    await this.#machine.end();
  }
}
