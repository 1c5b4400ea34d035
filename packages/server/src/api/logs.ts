import { logsQuerySchema, type LogsQuery } from '@opencomputer/protocol';
import { commonHeaders } from '../http/headers.ts';
import { clientGone, sendStream } from '../http/server.ts';
import { logEvents } from '../logs/log-events.ts';
import { callerOf, type Handler } from './context.ts';
import { readQuery, sandboxId } from './input.ts';

function guestQuery({ tail, since, until, q, source, limit }: LogsQuery): URLSearchParams {
  return new URLSearchParams({
    tail: String(tail),
    limit: String(limit),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    ...(q === undefined ? {} : { q }),
    ...(source === undefined ? {} : { source: source.join(',') }),
  });
}

export const readLogs: Handler<'lifecycle' | 'machines' | 'revocations' | 'sandboxes'> = async (
  c,
  { sandboxes, lifecycle, machines, revocations },
) => {
  const id = sandboxId(c);
  const { owner, keyId } = callerOf(c);
  const asked = readQuery(c, logsQuerySchema);
  const query = guestQuery(asked);
  const gone = clientGone(c);
  const lines = await sandboxes.withMachine(owner, id, () => machines.openLogs(id, query, gone));
  // Whoever has asked for an end gets it at once.
  const ended = async (): Promise<boolean> =>
    asked.tail && !gone.aborted && (await lifecycle.settled(id)) === 'hibernated';
  const headers = {
    ...commonHeaders(c.get('requestId')),
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  };
  const events = logEvents(lines, ended);
  const unwatch = revocations.watch(keyId, () => events.destroy());
  return sendStream(c, headers, events, () => {
    unwatch();
    lines.destroy();
  });
};
