import { z } from 'zod';
import { limits } from '../limits.ts';
import { sandboxIdPattern } from '../ids.ts';

export const machineSpecSchema = z.object({
  template: z.string().min(1).max(128),
  cpuCount: z.number().int().min(1).max(64),
  memoryMB: z
    .number()
    .int()
    .min(limits.memoryMBMin)
    .max(1024 * 1024),
  diskMB: z.number().int().min(1).max(limits.diskMBMax),
  hostname: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  env: z.record(z.string(), z.string()),
  /** Start from this snapshot instead of a template; CPU, memory and disk are then the snapshot's. */
  snapshot: z.uuid().optional(),
});
export type MachineSpec = z.infer<typeof machineSpecSchema>;

/**
 * running: usable; hibernated: memory and disk are on disk, nothing runs; failed: its process ended unexpectedly, and
 * its disk is kept until it is deleted.
 */
export const machineStates = ['running', 'hibernated', 'failed'] as const;
export type MachineState = (typeof machineStates)[number];

export const machineInfoSchema = z.object({
  id: z.string().regex(sandboxIdPattern),
  state: z.enum(machineStates),
  reason: z.string().optional(),
  spec: machineSpecSchema,
  accelerator: z.enum(['kvm', 'tcg']),
  startedAt: z.string(),
  /** What its current run started from: memory, or its disk alone. */
  startedFrom: z.enum(['memory', 'disk']),
  /** Why it started from its disk where its memory was asked for. */
  coldBootReason: z.string().optional(),
  /** Bytes that its saved memory occupies while it is hibernated. */
  hibernationBytes: z.number().int().optional(),
  /** Milliseconds of each phase of the start, by name. */
  timings: z.record(z.string(), z.number()),
});
export type MachineInfo = z.infer<typeof machineInfoSchema>;

export const machineListSchema = z.object({ machines: z.array(machineInfoSchema) });

export const hibernationSchema = z.object({ sizeBytes: z.number().int().min(0) });
export const rebootRequestSchema = z.object({ hard: z.boolean() });
export const restoreRequestSchema = z.object({ snapshot: z.uuid() });

export const machineEventSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hello') }),
  z.object({ type: z.literal('heartbeat') }),
  z.object({ type: z.literal('machineFailed'), id: z.string().regex(sandboxIdPattern), reason: z.string() }),
  /** Its guest restarted by itself, and the machine was booted again from its disk. */
  z.object({ type: z.literal('machineRestarted'), id: z.string().regex(sandboxIdPattern) }),
]);
export type MachineEvent = z.infer<typeof machineEventSchema>;
