import { discardDirectory } from '../../disk/trash.ts';
import { Gate } from '../gate.ts';
import { startedAgain, writeRecord } from '../record.ts';
import { atStep } from '../steps.ts';
import { hibernationDirectory } from './hibernate.ts';
import { prepareRun, type Sleeper } from './prepare.ts';
import { type Runner, type Started, untilAnswered, waitUntilBooted } from './runner.ts';

/**
 * Starts a machine from its disk with empty memory: after a reboot, a crash, or where its memory is lost.
 * @param reason why its memory is not used, where that was asked for
 * @throws Error when it does not come up; its disk is as it was
 */
export async function bootMachine(
  runner: Runner,
  { directory, record }: Sleeper,
  reason: string | undefined,
): Promise<Started> {
  const { host } = runner;
  await using stack = new AsyncDisposableStack();
  const slot = await host.network.claim();
  stack.defer(() => host.network.release(slot));
  await prepareRun(directory, record, slot);
  const booted = startedAgain(record, { slot, from: 'disk', coldBootReason: reason });
  await atStep('boot:prepared', record.id);
  // Deleted before the boot: the saved memory does not fit what the machine writes to its disk from now on.
  await writeRecord(directory, booted);
  await atStep('boot:recorded', record.id);
  const machine = await runner.boot({ directory, record: booted, slot, gate: new Gate() });
  stack.move();
  await machine.save({});
  await atStep('boot:started', record.id);
  const place = { step: 'boot:answered', id: record.id } as const;
  const answered = untilAnswered(waitUntilBooted(machine), place, () =>
    discardDirectory(hibernationDirectory(directory), host.trash),
  );
  answered.catch(() => undefined);
  return { machine, answered };
}
