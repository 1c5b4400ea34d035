import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type BlockJob,
  deleteNodes,
  listJobs,
  liveNode,
  nodeNames,
  runDiskCommand,
} from '../../qemu/block-nodes.ts';
import { type Qmp, QmpError, QmpTimeout } from '../../qemu/qmp.ts';
import type { Machine } from '../machine.ts';
import { atStep } from '../steps.ts';

/** Every layer costs open files and look-ups of blocks; up to so many are cheap. */
const layersMax = 8;
/** With so many, a snapshot waits for a flattening: snapshots in quick succession would give it up for ever. */
const layersLimit = 32;
/** The layers that all machines of a template share, and that stay shared. */
const sharedLayers = 2;
const job = 'flatten';
const pollMs = 50;

/** Whether a machine's disk has grown so many layers that they should be made one. */
export function shouldFlatten(machine: Machine): boolean {
  return machine.record.layers.length > layersMax;
}

/** Whether a machine's disk has so many layers that another may come only once they were made one. */
export function mustFlatten(machine: Machine): boolean {
  return machine.record.layers.length >= layersLimit;
}

/** Closes the files of layers that the machine's disk no longer stands on. */
async function dropNodes(machine: Machine): Promise<void> {
  const live = await liveNode(machine.qmp);
  const kept = new Set([live, ...Array.from({ length: sharedLayers }, (_, index) => `layer${index}`)]);
  const names = await nodeNames(machine.qmp);
  await deleteNodes(
    machine.qmp,
    names.filter((name) => /^(layer|disk)/.test(name) && !kept.has(name)),
  );
}

async function findJob(qmp: Qmp): Promise<BlockJob | undefined> {
  return (await listJobs(qmp)).find(({ id }) => id === job);
}

/**
 * Asks a job to end early. It may have ended since it was looked at: QEMU refuses then.
 * @returns false when the job has ended, or is about to, by itself
 */
async function cancelJob(qmp: Qmp): Promise<boolean> {
  try {
    await runDiskCommand(qmp, 'job-cancel', { id: job });
    return true;
  } catch (error) {
    if (!(error instanceof QmpError) || error instanceof QmpTimeout || !qmp.open) throw error;
    const status = (await findJob(qmp))?.status;
    if (status === 'concluded' || status === 'aborting') return false;
    throw error;
  }
}

/** `flat`: the chain of layers is the short one; `error`: why not, where nobody asked for it. */
interface JobEnd {
  flat: boolean;
  error: string | undefined;
}

/**
 * Waits until the job has ended, by itself or because the signal came, and dismisses it.
 * @throws Error when there is none
 */
async function endOfJob(qmp: Qmp, machine: string, signal: AbortSignal): Promise<JobEnd> {
  let asked = false;
  let cancelled = false;
  for (;;) {
    const state = await findJob(qmp);
    if (state === undefined) throw new Error('the job that flattens the disk has disappeared');
    if (state.status === 'concluded') {
      await runDiskCommand(qmp, 'job-dismiss', { id: job });
      // One that ended well before the cancellation reached it has changed the chain of layers.
      if (state.error === undefined) return { flat: true, error: undefined };
      return { flat: false, error: cancelled ? undefined : state.error };
    }
    if (signal.aborted && !asked) {
      await atStep('abortFlatten:found', machine);
      cancelled = await cancelJob(qmp);
      asked = true;
      await atStep('abortFlatten:cancelled', machine);
    } else await delay(pollMs);
  }
}

/**
 * Ends a flattening that was left behind, by a predecessor of this worker or by an error: while QEMU lists its job,
 * the disk belongs to that. The record stays behind where the job ended well: the layers that it names are still
 * there, and the overlay on top holds the same.
 */
export async function endFlattening(machine: { qmp: Qmp; id: string }): Promise<void> {
  if ((await findJob(machine.qmp)) === undefined) return;
  await endOfJob(machine.qmp, machine.id, AbortSignal.abort());
}

/**
 * Copies what the layers above the shared ones hold into the writable overlay, while the machine runs, and drops
 * them from its chain. Snapshots that have those layers keep them. Given up at any moment, nothing has changed but
 * that some of the copying is done; once the copying is done, it is completed whatever the signal says.
 * @returns false when it was given up
 */
export async function flattenMachine(machine: Machine, signal: AbortSignal): Promise<boolean> {
  const { layers } = machine.record;
  await atStep('flatten:begun', machine.id);
  await runDiskCommand(machine.qmp, 'block-stream', {
    'job-id': job,
    device: await liveNode(machine.qmp),
    'base-node': `layer${sharedLayers - 1}`,
    'auto-dismiss': false,
  });
  let end: JobEnd | undefined;
  try {
    end = await endOfJob(machine.qmp, machine.id, signal);
  } finally {
    // An error may leave the job behind, which the next change would find in its way.
    if (end === undefined && machine.qmp.open) await endFlattening(machine);
  }
  if (end.error !== undefined) throw new Error(`the disk could not be flattened: ${end.error}`);
  if (!end.flat) return false;
  await atStep('flatten:copied', machine.id);
  await machine.save({ layers: layers.slice(0, sharedLayers) });
  await atStep('flatten:recorded', machine.id);
  await dropNodes(machine);
  await atStep('flatten:dropped', machine.id);
  for (const { file } of layers.slice(sharedLayers))
    await rm(join(machine.runDirectory, file), { force: true });
  return true;
}
