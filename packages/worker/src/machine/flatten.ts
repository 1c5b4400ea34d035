import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { liveNode } from './block-nodes.ts';
import type { Machine } from './machine.ts';
import type { Qmp } from './qmp.ts';
import { atStep } from './steps.ts';

/** Every layer costs open files and look-ups of blocks; up to so many are cheap. */
const layersMax = 8;
/** The layers that all machines of a template share, and that stay shared. */
const sharedLayers = 2;
const job = 'flatten';
const pollMs = 50;

/** Whether a machine's disk has grown so many layers that they should be made one. */
export function shouldFlatten(machine: Machine): boolean {
  return machine.record.layers.length > layersMax;
}

/** Closes the files of layers that the machine's disk no longer stands on. */
async function dropNodes(machine: Machine): Promise<void> {
  const live = await liveNode(machine.qmp);
  const kept = new Set([live, ...Array.from({ length: sharedLayers }, (_, index) => `layer${index}`)]);
  const nodes = (await machine.qmp.run('query-named-block-nodes', { flat: true })) as {
    'node-name'?: unknown;
  }[];
  const names = nodes.map((node) => node['node-name']).filter((name) => typeof name === 'string');
  const dropped = names.filter((name) => /^(layer|disk)/.test(name) && !kept.has(name));
  for (const name of dropped) await machine.qmp.run('blockdev-del', { 'node-name': name });
}

interface BlockJob {
  id?: unknown;
  status?: unknown;
  error?: unknown;
}

async function findJob(qmp: Qmp): Promise<BlockJob | undefined> {
  const jobs = (await qmp.run('query-jobs')) as BlockJob[];
  return jobs.find(({ id }) => id === job);
}

/** Waits until the job has ended, and forgets it. @returns its error @throws Error when there is none */
async function endOfJob(qmp: Qmp, signal: AbortSignal): Promise<{ error: unknown; cancelled: boolean }> {
  let cancelled = false;
  for (;;) {
    const state = await findJob(qmp);
    if (state === undefined) throw new Error('the job that flattens the disk has disappeared');
    if (state.status === 'concluded') {
      await qmp.run('job-dismiss', { id: job });
      return { error: state.error, cancelled };
    }
    if (signal.aborted && !cancelled) {
      await qmp.run('job-cancel', { id: job });
      cancelled = true;
    }
    await delay(pollMs);
  }
}

/** Ends the flattening that a predecessor of this worker began: it would stand in the way of every other change. */
export async function endFlattening(qmp: Qmp): Promise<void> {
  if ((await findJob(qmp)) !== undefined) await endOfJob(qmp, AbortSignal.abort());
}

/**
 * Copies what the layers above the shared ones hold into the writable overlay, while the machine runs, and drops
 * them from its chain. Snapshots that have those layers keep them. Given up at any moment, nothing has changed but
 * that some of the copying is done.
 * @returns false when it was given up
 */
export async function flattenMachine(machine: Machine, signal: AbortSignal): Promise<boolean> {
  const { layers } = machine.record;
  await machine.qmp.run('block-stream', {
    'job-id': job,
    device: await liveNode(machine.qmp),
    'base-node': `layer${sharedLayers - 1}`,
    'auto-dismiss': false,
  });
  const { error, cancelled } = await endOfJob(machine.qmp, signal);
  if (cancelled) return false;
  if (typeof error === 'string') throw new Error(`the disk could not be flattened: ${error}`);
  await atStep('flatten:copied', machine.id);
  await machine.save({ layers: layers.slice(0, sharedLayers) });
  await atStep('flatten:recorded', machine.id);
  await dropNodes(machine);
  await atStep('flatten:dropped', machine.id);
  for (const { file } of layers.slice(sharedLayers))
    await rm(join(machine.runDirectory, file), { force: true });
  return true;
}
