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

/** Every layer costs open files and lookups of blocks; up to this number they are cheap. */
const layersMax = 8;
/**
 * From this number on a snapshot waits for the flattening. Otherwise frequent snapshots would cancel it again and
 * again.
 */
const layersLimit = 32;
/** The layers of the template, which all its machines share; they are never copied. */
const sharedLayers = 2;
const job = 'flatten';
const pollMs = 50;

/** Whether a machine's disk has so many layers that it should be flattened. */
export function shouldFlatten(machine: Machine): boolean {
  return machine.record.layers.length > layersMax;
}

/** Whether a machine's disk has so many layers that it must be flattened before another is added. */
export function mustFlatten(machine: Machine): boolean {
  return machine.record.layers.length >= layersLimit;
}

/** Closes the files of layers that the machine's disk no longer consists of. */
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
 * Cancels a job. It may have ended since its state was read; QEMU refuses then.
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

/** `flat`: the chain of layers is short now; `error`: why it is not, unless the job was cancelled. */
interface JobEnd {
  flat: boolean;
  error: string | undefined;
}

/**
 * Waits until the job has ended, by itself or because the signal cancelled it, and dismisses it.
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
      // A job that completed before it was cancelled has changed the chain of layers.
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
 * Ends a flattening that was left behind, by an earlier worker or after an error: while QEMU lists its job, nothing
 * else may change the disk. The record is not updated where the job completed: the layers that it names still exist,
 * and the overlay on top holds the same content.
 */
export async function endFlattening(machine: { qmp: Qmp; id: string }): Promise<void> {
  if ((await findJob(machine.qmp)) === undefined) return;
  await endOfJob(machine.qmp, machine.id, AbortSignal.abort());
}

/**
 * Copies the content of the layers above the shared ones into the writable overlay while the machine runs, and removes
 * them from its chain. Snapshots that consist of those layers keep them. It can be given up at any moment: what was
 * copied stays copied, and nothing else has changed. Once all is copied it is completed, whatever the signal says.
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
    // After an error the job may still exist and would block the next change.
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
