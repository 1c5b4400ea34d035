import { invalidOption } from './invalid-option.ts';

/** What can be written to a file. Streams are sent as they come, whatever their length. */
export type FileContent =
  | string
  | Uint8Array
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>;

/** A body ready to be sent. */
export interface Upload {
  /** False when the source gives its content only once. */
  readonly replayable: boolean;
  /** Bytes, when known beforehand. */
  readonly size: number | undefined;
  /** A new body. */
  open(watch: UploadWatch): ReadableStream<Uint8Array> | Uint8Array;
}

/** The link between a body and the request that sends it. */
export interface UploadWatch {
  /** Stops the body and closes its source. */
  readonly signal: AbortSignal;
  /** Called whenever a piece goes out. */
  readonly onProgress: () => void;
  /** Called when the source fails. */
  readonly onSourceError: (error: unknown) => void;
}

/** Up to this size bytes are sent as one piece; larger content is sent in pieces, so that progress is visible. */
const onePieceBytes = 256 * 1024;

/** @throws InvalidRequestError when `content` cannot be sent. */
export function toUpload(content: FileContent): Upload {
  if (typeof content === 'string') return bytesUpload(new TextEncoder().encode(content));
  if (content instanceof Uint8Array) return bytesUpload(content);
  if (content instanceof ArrayBuffer) return bytesUpload(new Uint8Array(content));
  if (content instanceof Blob) return blobUpload(content);
  if (content instanceof ReadableStream) return streamUpload(() => readerOf(content), false, undefined);
  if (typeof content === 'object' && content !== null && Symbol.asyncIterator in content)
    return streamUpload(() => content[Symbol.asyncIterator](), false, undefined);
  throw invalidOption(
    `content cannot be sent: ${content === null ? 'null' : typeof content}`,
    'Give a string (JSON.stringify makes one of an object), Uint8Array, ArrayBuffer, Blob, ReadableStream or async iterable of bytes.',
  );
}

function bytesUpload(bytes: Uint8Array): Upload {
  if (bytes.byteLength <= onePieceBytes)
    return { replayable: true, size: bytes.byteLength, open: () => bytes };
  return streamUpload(() => pieces(bytes), true, bytes.byteLength);
}

function blobUpload(blob: Blob): Upload {
  return streamUpload(() => readerOf(blob.stream()), true, blob.size);
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += onePieceBytes)
    yield bytes.subarray(start, start + onePieceBytes);
}

/** An iterator that, unlike the stream's own, exists in every runtime. */
function readerOf(stream: ReadableStream<Uint8Array>): AsyncIterator<Uint8Array> {
  const reader = stream.getReader();
  return {
    async next() {
      const { done, value } = await reader.read();
      return done ? { done: true, value: undefined } : { done: false, value };
    },
    async return() {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

function streamUpload(
  start: () => AsyncIterator<Uint8Array | string>,
  replayable: boolean,
  size: number | undefined,
): Upload {
  return {
    replayable,
    size,
    open({ signal, onProgress, onSourceError }) {
      let source: AsyncIterator<Uint8Array | string> | undefined;
      return new ReadableStream<Uint8Array>(
        {
          start(controller) {
            // fetch goes on to drain a body after its request was aborted, so the body must end by itself.
            const stop = (): void => {
              controller.error(signal.reason);
              // The request has failed already; an error of closing the source does not matter.
              source?.return?.().catch(() => undefined);
            };
            signal.addEventListener('abort', stop, { once: true });
          },
          async pull(controller) {
            try {
              source ??= start();
              const chunk = await nextChunk(source);
              onProgress();
              if (signal.aborted) return;
              if (chunk === undefined) controller.close();
              else controller.enqueue(chunk);
            } catch (error) {
              onSourceError(error);
              throw error;
            }
          },
          async cancel() {
            await source?.return?.();
          },
        },
        // Nothing is read from the source before the connection needs it.
        { highWaterMark: 0 },
      );
    },
  };
}

/** Skips empty chunks: in a chunked body they would mean its end. */
async function nextChunk(source: AsyncIterator<Uint8Array | string>): Promise<Uint8Array | undefined> {
  for (;;) {
    const { done, value } = await source.next();
    if (done) return undefined;
    const chunk = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    if (!(chunk instanceof Uint8Array))
      throw invalidOption(
        `the stream of content yielded ${typeof value}`,
        'It must yield Uint8Array or string.',
      );
    if (chunk.byteLength > 0) return chunk;
  }
}
