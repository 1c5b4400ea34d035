import { finished, type Readable, Transform } from 'node:stream';
import { ApiError } from '@opencomputer/protocol';

/**
 * The body of an upload, which fails when it grows beyond `maxBytes` or is cut off. The request itself is never
 * destroyed: what is left of a refused body must be drained, or its connection would take no further request.
 */
export function boundedBody(body: Readable, maxBytes: number): Readable {
  let size = 0;
  const bounded = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size <= maxBytes) return done(null, chunk);
      done(new ApiError('too_large', `a file may have ${maxBytes} bytes`, { details: { limit: maxBytes } }));
    },
  });
  finished(body, { writable: false }, (error) => {
    if (error) bounded.destroy(error);
  });
  return body.pipe(bounded);
}
