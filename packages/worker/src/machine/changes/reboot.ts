import type { Logger } from 'pino';
import { startCommand } from '../../guest/index.ts';
import { waitForExit } from '../../host/processes.ts';
import { endProcess } from '../../qemu/process.ts';
import type { HostSetup } from '../../qemu/setup.ts';
import type { Machine } from '../machine.ts';
import { atStep } from '../steps.ts';

/** How long a guest's system may take to shut down. */
const shutdownMs = 60_000;

/**
 * Shuts a guest's system down: its services end, its disk is unmounted. The process of a guest that does not is killed
 * afterwards.
 */
async function shutDownGuest(machine: Machine, log: Logger): Promise<void> {
  machine.expectShutdown();
  try {
    await startCommand(machine.channel, { argv: ['systemctl', 'poweroff'], user: 'root', waitMs: 5000 });
  } catch (error) {
    // The channel ends with the guest, often before the answer.
    log.debug({ machine: machine.id, err: error }, 'the shutdown was asked for');
  }
  if (!(await waitForExit(machine.process.identity, shutdownMs)))
    log.warn({ machine: machine.id }, 'the guest does not shut down; it is ended');
}

/** Ends a machine that is to be started again from its disk; unless `hard`, its system shuts down first. */
export async function endForReboot(host: HostSetup, machine: Machine, hard: boolean): Promise<void> {
  if (!hard) await shutDownGuest(machine, host.log);
  machine.expectEnd();
  await endProcess(machine.process.identity);
  await atStep('reboot:ended', machine.id);
  await host.network.release(machine.slot);
}
