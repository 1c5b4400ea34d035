import { logsQuerySchema, type LogsQuery } from '@opencomputer/protocol';
import { clientGone, sendStream } from '../http.ts';
import { logEvents } from '../live/log-events.ts';
import { callerOf, commonHeaders, type Handler } from './context.ts';
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

export const readLogs: Handler = async (c, { sandboxes, machines, revocations }) => {
  const id = sandboxId(c);
  const { owner, keyId } = callerOf(c);
  const query = guestQuery(readQuery(c, logsQuerySchema));
  const gone = clientGone(c);
  const lines = await sandboxes.withMachine(owner, id, () => machines.openLogs(id, query, gone));
  const headers = {
    ...commonHeaders(c.get('requestId')),
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  };
  const events = logEvents(lines);
  const unwatch = revocations.watch(keyId, () => events.destroy());
  return sendStream(c, headers, events, () => {
    unwatch();
    lines.destroy();
  });
};
