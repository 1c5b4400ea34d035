/** What a snapshot, and so a checkpoint, holds: memory, devices and disk, or the disk alone. */
export const snapshotKinds = ['full', 'disk_only'] as const;
export type SnapshotKind = (typeof snapshotKinds)[number];
