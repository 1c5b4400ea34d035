import { pipeline, type Readable, Transform } from 'node:stream';
import { ApiError } from '@opencomputer/protocol';

/**
 * The body of an upload, which fails when it grows beyond `maxBytes`. Where the length was declared the HTTP parser
 * has seen to that.
 */
export function boundedBody(body: Readable, declared: number | undefined, maxBytes: number): Readable {
  if (declared !== undefined) return body;
  let size = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size <= maxBytes) return done(null, chunk);
      done(new ApiError('too_large', `a file may have ${maxBytes} bytes`, { details: { limit: maxBytes } }));
    },
  });
  // A failure on either side destroys both; whoever reads the counter hears of it.
  return pipeline(body, counter, () => undefined);
}
