import { constants, type ClientHttp2Stream } from 'node:http2';
import { ApiError, type JsonBounds, JsonGuard } from '@opencomputer/protocol';
import type { AnswerDeadline } from './deadline.ts';

/** Reads to the end, at most `limit` bytes. @param tooMuch the error for more */
export async function readBounded(
  pieces: AsyncIterable<Buffer>,
  limit: number,
  tooMuch = new ApiError('guest_failed', `the guest sent more than ${limit} bytes where less was due`),
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of pieces) {
    size += part.length;
    if (size > limit) throw tooMuch;
    parts.push(part);
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/**
 * The pieces of an answer as they come. The call ends when the caller stops reading.
 * @param deadline for all pieces together; the time that the reader takes does not count
 * @param arrives called for each piece; what it throws ends the call
 * @throws ApiError `guest_timeout`, or `guest_failed` when the channel breaks
 */
export async function* piecesWithin(
  stream: ClientHttp2Stream,
  deadline: AnswerDeadline,
  arrives?: () => void,
): AsyncGenerator<Buffer> {
  const pieces = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  const missed = (): void =>
    void stream.destroy(new ApiError('guest_timeout', 'the guest stopped in the middle of an answer'));
  let ended = false;
  try {
    while (!ended) {
      deadline.start(missed);
      const next = await pieces.next().finally(() => deadline.stop());
      if (next.done === true) ended = true;
      else {
        deadline.came();
        arrives?.();
        yield next.value;
      }
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('guest_failed', 'the channel to the guest broke during an answer', { cause: error });
  } finally {
    if (!ended) stream.close(constants.NGHTTP2_CANCEL);
  }
}

/** Passes on JSON that is cheap enough to parse. @throws ApiError `guest_failed` for more */
export async function* guarded(pieces: AsyncIterable<Buffer>, bounds: JsonBounds): AsyncGenerator<Buffer> {
  const guard = new JsonGuard(bounds);
  for await (const piece of pieces) {
    if (!guard.allows(piece))
      throw new ApiError('guest_failed', 'the guest sent more values than its answer may have');
    yield piece;
  }
}
