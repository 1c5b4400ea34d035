import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { eventually } from '@opencomputer/testing/eventually';
import type { TestWorker } from './worker.ts';

interface Record {
  run: number;
  layers: { file: string }[];
  top: string;
  hibernated: boolean;
}

/** What is written down of a machine. */
export function recordOf(worker: TestWorker, id: string): Record {
  return JSON.parse(readFileSync(join(worker.directory(id), 'machine.json'), 'utf8')) as Record;
}

/** Checks that a worker has on its host what its machines and snapshots need, and nothing else. */
export async function expectNoRemains(worker: TestWorker): Promise<void> {
  const machines = await worker.machines();
  const ids = machines.map(({ id }) => id).toSorted();
  expect(worker.entries('machines')).toEqual(ids);
  const running: string[] = [];
  for (const { id, state } of machines) {
    const record = recordOf(worker, id);
    const run = `run-${record.run}`;
    if (state === 'running') running.push(`${id}.${record.run}`);
    expect(worker.entries('machines', id)).toEqual([
      ...(state === 'hibernated' ? ['hibernation'] : []),
      'machine.json',
      'qemu.log',
      run,
    ]);
    const named = [record.top, ...record.layers.map((layer) => layer.file)];
    const disks = worker.entries('machines', id, run).filter((entry) => /^(disk|layer)/.test(entry));
    expect(disks).toEqual(named.toSorted());
    expect(worker.entries('machines', id, run)).not.toContain('devices');
  }
  expect([...worker.processes().keys()].toSorted()).toEqual(running.toSorted());
  expect(worker.entries('snapshots')).toEqual((await worker.snapshots()).map(({ id }) => id).toSorted());
  await eventually('no other network namespace is left', () => worker.namespaces().length === running.length);
  await eventually('the trash is empty', () => worker.entries('trash').length === 0);
}
