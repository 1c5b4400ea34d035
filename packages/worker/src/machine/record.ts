import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { machineSpecSchema, sandboxIdPattern } from '@opencomputer/protocol';
import { z } from 'zod';
import { writeFileAtomic } from '../host/atomic-file.ts';

const recordFile = 'machine.json';

const recordSchema = z.object({
  format: z.literal(1),
  id: z.string().regex(sandboxIdPattern),
  spec: machineSpecSchema,
  /** Key of the template it was restored from. */
  template: z.string(),
  machineId: z.string().regex(/^[0-9a-f]{32}$/),
  accelerator: z.enum(['kvm', 'tcg']),
  slot: z.number().int().min(0),
  uid: z.number().int().min(0),
  /** False until the agent has taken the identity: a machine that is not ready when the worker starts is undone. */
  ready: z.boolean(),
  /** Set when it shall be deleted: a worker that starts finishes that. */
  deleting: z.boolean(),
  startedAt: z.string(),
  timings: z.record(z.string(), z.number()),
});

/** What the worker keeps of a machine on disk, beside its files. */
export type MachineRecord = z.infer<typeof recordSchema>;

/** Writes a record so that it survives a power cut. */
export async function writeRecord(directory: string, record: MachineRecord): Promise<void> {
  await writeFileAtomic(join(directory, recordFile), `${JSON.stringify(record, null, 2)}\n`);
}

/** @returns undefined when there is none @throws Error when it is damaged */
export async function readRecord(directory: string): Promise<MachineRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, recordFile), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new Error(`the record of the machine in ${directory} is damaged`, { cause: error });
  }
}
