import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { machineSpecSchema, sandboxIdPattern } from '@opencomputer/protocol';
import { z } from 'zod';
import { writeFileAtomic } from '../host/atomic-file.ts';
import { systemErrorCode } from '../host/errors.ts';
import { digestPattern } from '../host/integrity.ts';
import { openSealed, sealJson } from '../host/sealed-json.ts';
import { compatibilitySchema } from '../snapshots/manifest.ts';

const recordFile = 'machine.json';

/** A name, never a path: it is joined to a directory. */
const fileName = z.string().regex(/^[a-z0-9][a-z0-9.-]{0,63}$/);
const digest = z.string().regex(digestPattern);
const layerSchema = z.object({
  file: fileName,
  format: z.enum(['raw', 'qcow2']),
  /** Absent until it is known: in records of older workers, and after a snapshot that did not complete. */
  digest: digest.optional(),
});

const recordSchema = z.object({
  format: z.literal(1),
  id: z.string().regex(sandboxIdPattern),
  spec: machineSpecSchema,
  /** What it was created from: the key of a template, or the id of a snapshot. */
  origin: z.string(),
  /** Number of its current run, whose files are in the directory `run-N`. */
  run: z.number().int().min(1),
  /** Immutable layers of its disk, the oldest first, and the writable overlay, as the run's directory names them. */
  layers: z.array(layerSchema).max(256),
  top: fileName,
  /** True while its memory is on disk and nothing runs. */
  hibernated: z.boolean(),
  hibernationBytes: z.number().int().min(0),
  /** What must be equal for its saved memory to be restored; absent where an older worker saved it. */
  saved: z
    .object({
      compatibility: compatibilitySchema,
      /** Digests of the files of its memory, and of its writable overlay. */
      digests: z.object({ ram: digest, devices: digest, top: digest }).optional(),
    })
    .optional(),
  startedFrom: z.enum(['memory', 'disk']),
  coldBootReason: z.string().optional(),
  machineId: z.string().regex(/^[0-9a-f]{32}$/),
  accelerator: z.enum(['kvm', 'tcg']),
  slot: z.number().int().min(0),
  /** Its QEMU process. Absent until that is known, and in records of older workers. */
  process: z
    .object({ pid: z.number().int().min(2), startTime: z.number().int().min(0), bootId: z.string().max(64) })
    .optional(),
  uid: z.number().int().min(0),
  /**
   * False until the guest agent has applied the identity: a machine that is not ready when a worker starts is removed.
   */
  ready: z.boolean(),
  /** Set when it is being deleted: the next worker finishes that. */
  deleting: z.boolean(),
  startedAt: z.string(),
  timings: z.record(z.string(), z.number()),
});

/** What the worker stores about a machine, beside its files. */
export type MachineRecord = z.infer<typeof recordSchema>;

/** What is new when a machine starts again. */
export interface Start {
  /** The slot of its network, and the user that it runs as. */
  slot: { index: number; uid: number };
  from: MachineRecord['startedFrom'];
  /** Why its memory was not used, where that was asked for. */
  coldBootReason?: string | undefined;
}

/** The record of a machine that starts again, without the fields that described its last start. */
export function startedAgain(record: MachineRecord, { slot, from, coldBootReason }: Start): MachineRecord {
  const { coldBootReason: _reason, saved: _saved, process: _process, ...kept } = record;
  return {
    ...kept,
    hibernated: false,
    startedAt: new Date().toISOString(),
    slot: slot.index,
    uid: slot.uid,
    startedFrom: from,
    ...(coldBootReason === undefined ? {} : { coldBootReason }),
  };
}

/** Writes a record so that it survives a power cut. */
export async function writeRecord(directory: string, record: MachineRecord): Promise<void> {
  await writeFileAtomic(join(directory, recordFile), sealJson(record));
}

/** @returns undefined when there is none @throws Error when it is damaged */
export async function readRecord(directory: string): Promise<MachineRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, recordFile), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return recordSchema.parse(openSealed(text));
  } catch (error) {
    throw new Error(`the record of the machine in ${directory} is damaged`, { cause: error });
  }
}
