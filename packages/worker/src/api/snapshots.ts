import { snapshotRequestSchema } from '@opencomputer/protocol';
import type { Changes } from '../machine/changes/changes.ts';
import type { SnapshotStore } from '../snapshots/store.ts';
import { readJson, sendEmpty, sendJson } from './respond.ts';
import type { Routes } from './router.ts';

/** Snapshots that clients asked for. */
export function snapshotRoutes(snapshots: SnapshotStore, changes: Changes): Routes {
  return {
    'GET /v1/snapshots': async ({ response }) => sendJson(response, 200, await snapshots.list()),
    'PUT /v1/snapshots/:snapshotId': async ({ request, response, snapshotId }) =>
      sendJson(
        response,
        200,
        await changes.snapshot(snapshotId, await readJson(request, snapshotRequestSchema)),
      ),
    'DELETE /v1/snapshots/:snapshotId': async ({ response, snapshotId }) => {
      await snapshots.delete(snapshotId);
      sendEmpty(response);
    },
  };
}
