import { join } from 'node:path';
import { ApiError, type MachineInfo } from '@opencomputer/protocol';
import { GuestChannel } from '../guest/index.ts';
import { isSameProcess, waitForExit } from '../host/processes.ts';
import type { NetworkSlot } from '../network/types.ts';
import { machineFiles } from './argv.ts';
import { runDirectory } from './directory.ts';
import { identityOf } from './identity.ts';
import { lastLines, type Launched } from './launch.ts';
import type { MachineRecord } from './record.ts';

export const machineLogFile = 'qemu.log';

interface MachineParts {
  directory: string;
  record: MachineRecord;
  slot: NetworkSlot;
  launched: Launched;
}

/**
 * One running machine, from the moment its QEMU runs until it has ended. Watches the process and says once when it
 * ended without having been asked to.
 */
export class Machine {
  readonly record: MachineRecord;
  readonly directory: string;
  readonly slot: NetworkSlot;
  readonly channel: GuestChannel;
  readonly launched: Launched;
  /** Set once the machine is being ended on purpose. */
  #ending = false;
  #shutdownReason: string | undefined;

  constructor(parts: MachineParts, onEnd: (machine: Machine, reason: string) => void) {
    this.record = parts.record;
    this.directory = parts.directory;
    this.slot = parts.slot;
    this.launched = parts.launched;
    this.channel = new GuestChannel({
      socketPath: join(this.directory, runDirectory, machineFiles.agent),
      identity: () => identityOf(this.record),
    });
    const { qmp } = this.launched;
    qmp.on('event', (name, data) => {
      if (name === 'SHUTDOWN' && typeof data['reason'] === 'string') this.#shutdownReason = data['reason'];
    });
    qmp.once('close', () => {
      this.channel.close();
      void this.#explainEnd().then((reason) => {
        if (!this.#ending) onEnd(this, reason);
      });
    });
  }

  get id(): string {
    return this.record.id;
  }

  get alive(): boolean {
    return isSameProcess(this.launched.process.identity);
  }

  info(): MachineInfo {
    const { id, spec, accelerator, startedAt, timings } = this.record;
    return { id, state: 'running', spec, accelerator, startedAt, timings };
  }

  /** From here on the end of the process is no surprise. */
  expectEnd(): void {
    this.#ending = true;
    this.channel.close();
  }

  async #explainEnd(): Promise<string> {
    const gone = await waitForExit(this.launched.process.identity, 5000);
    if (!gone) return 'the monitor of its QEMU process broke';
    const { child } = this.launched.process;
    const exit = child?.signalCode ?? child?.exitCode ?? undefined;
    const printed = await lastLines(join(this.directory, machineLogFile));
    return describeEnd(this.#shutdownReason, exit, printed);
  }
}

/** Why a machine ended, for its user. */
export function describeEnd(
  shutdownReason: string | undefined,
  exit: string | number | undefined,
  printed: string,
): string {
  if (shutdownReason === 'guest-shutdown') return 'the guest powered itself off';
  if (shutdownReason === 'guest-reset') return 'the guest restarted or its kernel crashed';
  if (shutdownReason === 'guest-panic') return "the guest's kernel crashed";
  const how =
    exit === undefined || exit === 0
      ? 'ended'
      : typeof exit === 'string'
        ? `was killed (${exit})`
        : `ended with code ${exit}`;
  return `its QEMU process ${how}${printed === '' ? '' : `: ${printed}`}`;
}

/** The error for an operation on a machine that has ended. */
export function machineEnded(id: string, reason: string): ApiError {
  return new ApiError('sandbox_stopped', `sandbox ${id} has failed: ${reason}`);
}
