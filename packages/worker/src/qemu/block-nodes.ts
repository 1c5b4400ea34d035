import { z } from 'zod';
import type { Qmp } from './qmp.ts';

/**
 * How long QEMU may take for a command about a disk, in milliseconds. It does not answer while it waits for the host's
 * disk, which may be busy with what a guest has written.
 */
const diskCommandMs = 60_000;

/** Runs a command about a machine's disk, with a longer deadline. @throws QmpError like `Qmp.run` */
export function runDiskCommand(
  qmp: Qmp,
  execute: string,
  args: Record<string, unknown> = {},
): Promise<unknown> {
  return qmp.run(execute, args, diskCommandMs);
}

const blocksSchema = z.array(
  z.object({
    inserted: z.object({ 'node-name': z.string(), backing_file_depth: z.number().int().min(0) }).optional(),
  }),
);

/**
 * The writable block node of a running machine, and the number of layers below it. After a crash the record may be one
 * step ahead of it.
 */
export async function liveDisk(qmp: Qmp): Promise<{ node: string; depth: number }> {
  const blocks = blocksSchema.parse(await runDiskCommand(qmp, 'query-block'));
  const disk = blocks.map(({ inserted }) => inserted).find((inserted) => inserted !== undefined);
  if (disk === undefined) throw new Error('the machine has no disk');
  return { node: disk['node-name'], depth: disk.backing_file_depth };
}

/** The writable block node of a running machine. */
export async function liveNode(qmp: Qmp): Promise<string> {
  return (await liveDisk(qmp)).node;
}

const jobsSchema = z.array(z.object({ id: z.string(), status: z.string(), error: z.string().optional() }));

/** A job as QEMU lists it: `concluded` from its end until it is dismissed; `error` where it failed. */
export type BlockJob = z.output<typeof jobsSchema>[number];

/** The jobs on a machine's disk: those that run, and those that have ended and were not dismissed. */
export async function listJobs(qmp: Qmp): Promise<BlockJob[]> {
  return jobsSchema.parse(await runDiskCommand(qmp, 'query-jobs'));
}

/**
 * Names of all block nodes of a machine, in use or not.
 * @throws Error while a job is listed, in any state: QEMU 7.2 crashes when nodes are listed between the end of
 *   a job and its dismissal
 */
export async function nodeNames(qmp: Qmp): Promise<string[]> {
  await requireNoJob(qmp);
  const nodes = (await runDiskCommand(qmp, 'query-named-block-nodes', { flat: true })) as {
    'node-name'?: unknown;
  }[];
  return nodes.map((node) => node['node-name']).filter((name) => typeof name === 'string');
}

/** Deletes block nodes that the disk does not use. @throws Error while a job is listed, since it uses nodes */
export async function deleteNodes(qmp: Qmp, names: readonly string[]): Promise<void> {
  await requireNoJob(qmp);
  for (const name of names) await runDiskCommand(qmp, 'blockdev-del', { 'node-name': name });
}

async function requireNoJob(qmp: Qmp): Promise<void> {
  const [job] = await listJobs(qmp);
  if (job === undefined) return;
  const { id, status } = job;
  throw new Error(`the disk belongs to the job ${id} (${status}) until QEMU has dismissed it`);
}
