import { z } from 'zod';
import { sandboxIdPattern } from '../ids.ts';
import { snapshotKinds } from '../snapshot-kinds.ts';

/** Body of `PUT /v1/snapshots/:snapshotId`. */
export const snapshotRequestSchema = z.object({
  machine: z.string().regex(sandboxIdPattern),
  kind: z.enum(snapshotKinds),
  /** Fail where the guest cannot be quiesced, instead of saving it as it is. */
  requireQuiesced: z.boolean().optional(),
});
export type SnapshotRequest = z.infer<typeof snapshotRequestSchema>;

export const snapshotInfoSchema = z.object({
  id: z.uuid(),
  kind: z.enum(snapshotKinds),
  cpuCount: z.number().int(),
  memoryMB: z.number().int(),
  diskMB: z.number().int(),
  /** The bytes that only this snapshot occupies: its memory image and the disk layer that it added. */
  sizeBytes: z.number().int().min(0),
  createdAt: z.string(),
  /** How long the machine was paused, in milliseconds. */
  pauseMs: z.number(),
  /** Whether the guest was quiesced and wrote out its file system first; absent in snapshots of older workers. */
  quiesced: z.boolean().optional(),
});
export type SnapshotInfo = z.infer<typeof snapshotInfoSchema>;

export const snapshotListSchema = z.object({
  snapshots: z.array(snapshotInfoSchema),
  /** Ids of snapshots that exist, but whose manifest is damaged. */
  damaged: z.array(z.string()).default([]),
});
export type SnapshotList = z.infer<typeof snapshotListSchema>;
