import {
  ApiError,
  isSandboxId,
  isUuid,
  type ListSandboxesQuery,
  publicState,
  sandboxStates,
  type SandboxState,
} from '@opencomputer/protocol';
import { listSandboxes } from '../store/sandboxes.ts';
import type { SandboxRow, Store } from '../store/tables.ts';

/** The states that a `status` filter means; by default all that have not stopped. */
function statesOf(status: ListSandboxesQuery['status']): SandboxState[] {
  return sandboxStates.filter((state) => {
    if (status === 'all') return true;
    return status === undefined ? publicState(state) !== 'stopped' : publicState(state) === status;
  });
}

/** Names the row that a page ended with. */
export function encodeCursor(row: { created_at: number; id: string }): string {
  return Buffer.from(`${row.created_at}:${row.id}`).toString('base64url');
}

/** @throws ApiError `invalid_request` when it is none of ours. */
export function decodeCursor(cursor: string): { createdAt: number; id: string } {
  const [time, id, ...rest] = Buffer.from(cursor, 'base64url').toString().split(':');
  if (
    time === undefined ||
    id === undefined ||
    rest.length > 0 ||
    !/^\d{1,15}$/.test(time) ||
    !(isSandboxId(id) || isUuid(id))
  )
    throw new ApiError('invalid_request', 'cursor: not one that this server gave out', {
      hint: 'Give the X-Next-Cursor header of the page before as it is, or none to begin.',
    });
  return { createdAt: Number(time), id };
}

/** One page of an owner's sandboxes and, when there are more, the cursor of the next. */
export async function pageOfSandboxes(
  store: Store,
  owner: string,
  query: ListSandboxesQuery,
  metadata: readonly (readonly [string, string])[],
): Promise<{ rows: SandboxRow[]; next: string | undefined }> {
  const rows = await listSandboxes(store, {
    owner,
    states: statesOf(query.status),
    metadata,
    after: query.cursor === undefined ? undefined : decodeCursor(query.cursor),
    limit: query.limit + 1,
  });
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return { rows: page, next: rows.length > page.length && last ? encodeCursor(last) : undefined };
}
