import type { Context } from 'hono';
import type { Log } from '../observe/log.ts';
import { toApiError } from './errors.ts';
import { type Every, everyInterval } from './every.ts';
import { commonHeaders } from './headers.ts';

/** How long the header of a slow change is held back, so that most failures have their proper status. */
export const slowMs = 100_000;

/**
 * Answers with JSON that may take long. What is ready within `padMs` is answered with its proper status; after that the
 * header goes out and a space every `padMs`, so that nothing between here and the client gives up. A failure after that
 * is the body: clients tell it from a result by its `code`.
 */
export async function paddedJson(
  c: Context,
  result: Promise<unknown>,
  padMs: number,
  log: Log,
  { status = 200, every = everyInterval }: { status?: 200 | 201; every?: Every } = {},
): Promise<Response> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const stop = every(padMs, () => {
    stop();
    resolve('late');
  });
  const settled = result.finally(stop);
  if ((await Promise.race([settled.then(() => 'settled'), late])) === 'settled')
    return c.json((await result) as object, status);
  const requestId: string = c.get('requestId');
  const body = settled.catch((error: unknown) => toApiError(error, log, requestId).toBody(requestId));
  return new Response(padded(body, padMs, every), {
    status,
    headers: { ...commonHeaders(requestId), 'content-type': 'application/json' },
  });
}

function padded(result: Promise<unknown>, padMs: number, every: Every): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const space = encoder.encode(' ');
  let stop: (() => void) | undefined;
  return new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(space);
      stop = every(padMs, () => controller.enqueue(space));
    },
    async pull(controller) {
      // Called when the first space is gone; from then on only the timer and the result write.
      const value = await result;
      stop?.();
      controller.enqueue(encoder.encode(JSON.stringify(value)));
      controller.close();
    },
    cancel() {
      stop?.();
    },
  });
}
