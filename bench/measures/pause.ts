import { dirname, join } from 'node:path';
import { copyRamImage, machineFiles, saveDevices, saveDirtyPages } from '@opencomputer/worker/bench';
import { type BareMachine, quiet, stopwatch } from '../bare-machine.ts';
import { atMost, compare, type Finding } from '../finding.ts';
import { changedMB } from '../host.ts';
import { medians, summarize } from '../statistics.ts';
import { runDirectly, runInSandbox } from './commands.ts';
import { type Context, timed } from './context.ts';
import { holdMemory, use } from './usage.ts';

/** Of random content held by a process, on top of what a light use changes. */
const sizesMB = [0, 64, 256];
const quickSizesMB = [0, 64];
const baseMs = 30;
const perMB = 1;

/** How long a bare machine is paused to be saved. */
async function pauseBare(machine: BareMachine): Promise<{ ms: number; phases: Record<string, number> }> {
  const { launched, pid, image } = machine;
  const copy = join(image, '..', '..', 'ram.copy');
  await copyRamImage(image, copy);
  await quiet(machine);
  const { phases, lap } = stopwatch();
  const { ms } = await timed(async () => {
    await launched.qmp.run('stop', {}, 60_000);
    lap('stop');
    await saveDevices(launched.qmp, dirname(image), undefined);
    lap('devices');
    await saveDirtyPages(pid, image, copy);
    lap('pages');
    await launched.qmp.run('cont');
    lap('cont');
  });
  return { ms, phases };
}

function parts(phases: readonly Record<string, number>[]): string {
  return Object.entries(medians(phases))
    .map(([name, ms]) => `${name} ${ms.toFixed(1)}`)
    .join(', ');
}

/** How long a sandbox is paused for a live checkpoint, beside how much of its memory has changed. */
export async function measurePause({ platform, bare, options, say }: Context): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const megabytes of options.quick ? quickSizesMB : sizesMB) {
    await using stack = new AsyncDisposableStack();
    const sandbox = await platform.createSandbox({ timeout: 0 });
    stack.defer(() => sandbox.kill());
    const machine = await bare.start();
    stack.defer(() => machine.end());
    await use.ours(sandbox);
    await use.floor(machine);
    if (megabytes > 0) {
      await runInSandbox(sandbox, holdMemory(megabytes), 'held\n');
      await runDirectly(machine.channel, holdMemory(megabytes), 'held\n');
    }
    const times: Record<'ours' | 'floor', number[]> = { ours: [], floor: [] };
    const changed: number[] = [];
    const phases: Record<string, number>[] = [];
    for (let round = -1; round < options.runs; round++) {
      say(`pause with ${megabytes} MB held: ${round + 1} of ${options.runs}`);
      await platform.rest();
      const { id, pauseMs } = await sandbox.createCheckpoint(`pause-${round}`);
      await sandbox.deleteCheckpoint(id);
      const [pid] = platform.pidsOf([sandbox]);
      if (pauseMs === undefined || pid === undefined) throw new Error('the checkpoint has no pauseMs');
      const pause = await pauseBare(machine);
      if (round < 0) continue;
      times.ours.push(pauseMs);
      times.floor.push(pause.ms);
      phases.push(pause.phases);
      changed.push(await changedMB(pid, `/${machineFiles.ram}`));
    }
    const dirtyMB = Math.round(summarize(changed).median);
    findings.push(
      compare(
        {
          group: 'pause',
          name: `pause for a checkpoint, ${dirtyMB} MB changed`,
          unit: 'ms',
          notes: { 'parts of the floor': parts(phases) },
        },
        times.ours,
        times.floor,
        atMost(baseMs + perMB * dirtyMB, 'ms'),
      ),
    );
  }
  return findings;
}
