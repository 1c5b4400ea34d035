import type { OpenAnswer } from './http.ts';

/** Up to this announced length memory is reserved at once, in bytes; a larger one is not trusted that much. */
const reserveBytes = 256 * 1024 * 1024;

/**
 * The body of an answer as a stream. The clock runs only while the consumer waits for bytes. A consumer that stops
 * reading early must cancel the stream, which ends the transfer.
 */
export function bodyStream({ response, deadline, explain }: OpenAnswer): ReadableStream<Uint8Array> {
  const reader = response.body?.getReader();
  deadline.pause();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (reader === undefined) return controller.close();
        deadline.restart();
        try {
          const { done, value } = await reader.read();
          if (done) {
            deadline.release();
            controller.close();
          } else {
            deadline.pause();
            controller.enqueue(value);
          }
        } catch (failure) {
          deadline.release();
          throw explain(failure);
        }
      },
      cancel() {
        deadline.abort();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The whole body. */
export async function bodyBytes(answer: OpenAnswer): Promise<Uint8Array> {
  const announced = Number(answer.response.headers.get('content-length') ?? 0);
  const chunks: Uint8Array[] = [];
  let target = new Uint8Array(announced <= reserveBytes ? announced : 0);
  let size = 0;
  const reader = bodyStream(answer).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (size + value.byteLength <= target.byteLength) target.set(value, size);
    else chunks.push(value);
    size += value.byteLength;
  }
  if (chunks.length === 0) return target.subarray(0, size);
  const joined = new Uint8Array(size);
  const inTarget = size - chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  joined.set(target.subarray(0, inTarget));
  let offset = inTarget;
  for (const chunk of chunks) {
    joined.set(chunk, offset);
    offset += chunk.byteLength;
  }
  target = joined;
  return target;
}
